#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace karma::cli {

struct ServeOptions;

enum class OptionKind : std::uint8_t {
    boolean,
    whole_number,
    seconds,
    text,
    list,  // of texts: with commas between them, given several times, or a TOML array
};

/// How the value of an option is read and shown.
struct OptionValue {
    OptionKind kind = OptionKind::text;
    std::string allowed = {};  // which values there are, for people: "true or false"
    std::uint64_t low = 0;     // of a whole number
    std::uint64_t high = 0;
    /// Throws UsageError that begins with `source`, which names where the text comes from: an option, a
    /// variable, a line of a file.
    std::function<void(ServeOptions&, const std::string& text, const std::string& source)> set = {};
    /// The text that `set` takes for the value in force; empty where there is none.
    std::function<std::string(const ServeOptions&)> get = {};
};

/// One option of the daemon: all that the command line, the environment, the file, the help and
/// docs/configuration.md need to know of it.
struct Option {
    const char* name = "";      // on the command line, without its hyphens
    char short_name = 0;        // 0: none
    const char* variable = "";  // of the environment
    const char* argument = "";  // what the help calls the value
    OptionValue value = {};
    const char* help = "";
    /// The text for a default that is no value, or depends on the machine; null: the result of `get`.
    const char* default_text = nullptr;
    bool is_secret = false;
    bool is_reloaded = false;  // read again on SIGHUP
    bool is_in_file = true;    // has a key in the TOML file
};

/// Options that are explained together.
struct OptionSection {
    const char* title = "";
    const char* table = "";  // of the TOML file that has them; empty: they stand before all tables
    std::vector<Option> options = {};
};

/// The key of an option in a TOML file: "log_level".
std::string key_of(const Option& option);

/// The text for the default of an option: "8080", "none".
std::string default_of(const Option& option);

}  // namespace karma::cli
