#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/option.h"
#include "cli/serve_options.h"

namespace karma::cli {

/// The value of one option in a configuration file.
struct FileValue {
    const Option* option = nullptr;
    std::string text;    // as the option takes it
    std::string source;  // "karma.toml:12: port"
};

struct ConfigFile {
    std::vector<FileValue> values;
    std::vector<TokenEntry> tokens;
};

/// The name of the file that is read when no other is named.
inline constexpr const char* usual_config_file = "karma.toml";

/// The options in the text of a TOML file; `name` is what messages call the file. Throws UsageError that
/// names
/// the file and the line: no TOML, a key that is no option, a value of another type, an option that is given
/// twice. Does not check whether an option accepts the value.
ConfigFile parse_config(std::string_view text, const std::string& name);

/// The same from a file.
ConfigFile read_config_file(const std::string& path);

}  // namespace karma::cli
