#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/option.h"
#include "cli/serve_options.h"

namespace karma::cli {

/// What a configuration file says of one option.
struct FileValue {
    const Option* option = nullptr;
    std::string text;    // as the option takes it
    std::string source;  // "karma.toml:12: port"
};

struct ConfigFile {
    std::vector<FileValue> values;
    std::vector<TokenEntry> tokens;
};

/// The file that counts where none is named.
inline constexpr const char* usual_config_file = "karma.toml";

/// What is in the text of a TOML file; `name` is what messages call the file. Throws UsageError that names
/// the file and the line: no TOML, a key that is no option, a value of another type, an option that is given
/// twice. Whether an option takes the value is not looked at.
ConfigFile parse_config(std::string_view text, const std::string& name);

/// The same from a file.
ConfigFile read_config_file(const std::string& path);

}  // namespace karma::cli
