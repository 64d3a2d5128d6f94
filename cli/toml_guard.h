#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace karma::cli {

/// "k.toml:7: ", before what is wrong in that line.
std::string place_in(const std::string& name, std::size_t line);

/// Refuses what toml++ 3.3 cannot be given, with a UsageError that names the line; what is no TOML for other
/// reasons is left to the parser.
///
///  - More than 200 dots in a line: each part of a dotted key becomes a table inside the one before.
///  - Characters outside ASCII where only white space and keys may stand, and where a multi-line string goes
///  on after a
///    backslash: the parser's test for white space reaches __builtin_unreachable for U+00A1 to U+0499 and
///    others.
void check_toml(std::string_view text, const std::string& name);

}  // namespace karma::cli
