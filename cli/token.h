#pragma once

#include <string>
#include <vector>

namespace karma::cli {

/// A token as somebody gave it, without a newline at its end, which is none of it: a warning says so, and
/// also where white space is left. `source` is what messages call it.
std::string token_of_text(const std::string& text, const std::string& source,
                          std::vector<std::string>& warnings);

/// The token in the only line of a file, without newlines at its end. Warns when others may read the file.
/// Throws UsageError that names it when it cannot be read, holds none, or has several lines.
std::string token_of_file(const std::string& path, const std::string& source,
                          std::vector<std::string>& warnings);

/// Overwrites the values of options that are tokens (`--token=`, `--auth-token ` and so on) where the system
/// shows them to everybody on this machine. The arguments must have been copied before.
void hide_tokens(int argc, char** argv) noexcept;

}  // namespace karma::cli
