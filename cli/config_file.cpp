#include "cli/config_file.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "cli/command_line.h"
#include "cli/option_table.h"
#include "cli/small_file.h"
#include "cli/text.h"
#include "cli/token_tables.h"
#include "cli/toml.h"
#include "cli/toml_guard.h"
#include "net/nearest_word.h"

namespace karma::cli {

namespace {

constexpr std::size_t file_bytes_max = std::size_t{1} << 20U;

const char* type_name(const toml::node& node) {
    switch (node.type()) {
        case toml::node_type::table: return "a table";
        case toml::node_type::array: return "an array";
        case toml::node_type::string: return "a string";
        case toml::node_type::integer: return "an integer";
        case toml::node_type::floating_point: return "a floating-point number";
        case toml::node_type::boolean: return "a boolean";
        default: return "a date or time";
    }
}

/// The texts of an array with commas between them, or a text that is such a list.
std::optional<std::string> list_of(const toml::node& node) {
    if (const auto* const value = node.as_string()) {
        return value->get();
    }
    const toml::array* const array = node.as_array();
    if (array == nullptr) {
        return std::nullopt;
    }
    std::string text;
    for (const toml::node& item : *array) {
        const auto* const value = item.as_string();
        if (value == nullptr) {
            return std::nullopt;
        }
        text.append(text.empty() ? "" : ",").append(value->get());
    }
    return text;
}

/// The value as the command line has it; nothing where the type is another one than the option's.
std::optional<std::string> text_of(const toml::node& node, OptionKind kind) {
    if (kind == OptionKind::boolean) {
        const auto* const value = node.as_boolean();
        return value == nullptr ? std::nullopt : std::optional<std::string>(value->get() ? "true" : "false");
    }
    if (kind == OptionKind::text) {
        const auto* const value = node.as_string();
        return value == nullptr ? std::nullopt : std::optional(value->get());
    }
    if (kind == OptionKind::list) {
        return list_of(node);
    }
    if (const auto* const value = node.as_integer()) {
        return std::to_string(value->get());
    }
    const auto* const value = node.as_floating_point();
    return value == nullptr || kind != OptionKind::seconds ? std::nullopt
                                                           : std::optional(std::to_string(value->get()));
}

/// The options with a key in the table of that name: by their whole names, and by what is left of them
/// without the name of the table.
std::map<std::string, const Option*> keys_in(std::string_view table) {
    std::map<std::string, const Option*> keys;
    for (const OptionSection& section : option_sections()) {
        // Before all tables each option has a place.
        if (!table.empty() && section.table != table) {
            continue;
        }
        for (const Option& option : section.options) {
            if (!option.is_in_file) {
                continue;
            }
            const std::string key = key_of(option);
            keys.emplace(key, &option);
            if (!table.empty() && key.starts_with(std::string(table) + "_")) {
                keys.emplace(key.substr(table.size() + 1), &option);
            }
        }
    }
    return keys;
}

std::set<std::string> table_names() {
    std::set<std::string> names;
    for (const OptionSection& section : option_sections()) {
        names.insert(section.table);
    }
    names.erase("");
    return names;
}

template <typename Names, typename NameOf>
std::string nearest(std::string_view word, const Names& names, NameOf name_of) {
    std::vector<std::string_view> known;
    for (const auto& name : names) {
        known.emplace_back(name_of(name));
    }
    return std::string(net::nearest_word(word, known));
}

/// Reads the nodes of a file into values.
class ConfigReader {
public:
    explicit ConfigReader(const std::string& name) : name_(name) {}

    ConfigFile read(const toml::table& root) {
        const std::set<std::string> tables = table_names();
        for (const auto& [key, node] : root) {
            const std::string name(key.str());
            const toml::table* const table = node.as_table();
            if (name == "token") {
                found_.tokens = read_token_tables(node, name_);
            } else if (table != nullptr && tables.contains(name)) {
                read_table(name, *table);
            } else if (table != nullptr && !keys_in("").contains(name)) {
                throw UsageError(
                    place_in(name_, key_line(key)) + "[" + shown(name) +
                    "] is no table of a configuration: the nearest known one is [" +
                    nearest(name, tables, [](const auto& one) { return std::string_view(one); }) + "]");
            } else {
                read_value("", key, node);
            }
        }
        return std::move(found_);
    }

private:
    static std::size_t key_line(const toml::key& key) { return key.source().begin.line; }
    static std::string shown(const std::string& name) {
        const std::string text = cli::quoted(name);
        return text.substr(1, text.size() - 2);
    }

    void read_table(const std::string& table, const toml::table& nodes) {
        for (const auto& [key, node] : nodes) {
            read_value(table, key, node);
        }
    }

    void read_value(const std::string& table, const toml::key& key, const toml::node& node) {
        const std::string name(key.str());
        const auto keys = keys_in(table);
        const auto found = keys.find(name);
        if (found == keys.end()) {
            refuse_key(table, key, keys);
        }
        const Option& option = *found->second;
        const std::string source = place_in(name_, key_line(key)) + name;
        std::optional<std::string> text = text_of(node, option.value.kind);
        if (!text) {
            throw UsageError(source + " must be " + option.value.allowed + ", not " + type_name(node));
        }
        if (text->find('\0') != std::string::npos) {
            throw UsageError(source + " holds a zero character");
        }
        const auto [before, is_new] = lines_.emplace(&option, key_line(key));
        if (!is_new) {
            throw UsageError(source + " is given a second time: line " + std::to_string(before->second) +
                             " has it");
        }
        found_.values.push_back({&option, std::move(*text), source});
    }

    [[noreturn]] void refuse_key(const std::string& table, const toml::key& key,
                                 const std::map<std::string, const Option*>& keys) const {
        const std::string name(key.str());
        std::string text = place_in(name_, key_line(key)) + shown(name);
        const auto everywhere = keys_in("");
        if (const auto elsewhere = everywhere.find(name); elsewhere != everywhere.end()) {
            throw UsageError(text + " is no key of [" + table + "]: it stands " +
                             home_of(*elsewhere->second));
        }
        text += table.empty() ? " is no option" : " is no key of [" + table + "]";
        throw UsageError(text + ": the nearest known one is " +
                         nearest(name, keys, [](const auto& one) { return std::string_view(one.first); }));
    }

    static std::string home_of(const Option& option) {
        for (const OptionSection& section : option_sections()) {
            const bool is_here =
                std::ranges::any_of(section.options, [&](const Option& one) { return &one == &option; });
            if (is_here && *section.table != '\0') {
                return std::string("in [") + section.table + "] or before all tables";
            }
        }
        return "before all tables";
    }

    const std::string& name_;
    ConfigFile found_;
    std::map<const Option*, std::size_t> lines_;
};

}  // namespace

ConfigFile parse_config(std::string_view text, const std::string& name) {
    if (text.size() > file_bytes_max) {
        throw UsageError(name + " is larger than " + std::to_string(file_bytes_max) + " bytes");
    }
    check_toml(text, name);
    try {
        const toml::table root = toml::parse(text, std::string_view(name));
        return ConfigReader(name).read(root);
    } catch (const toml::parse_error& wrong) {
        std::string why(wrong.description());
        std::ranges::replace_if(
            why, [](unsigned char c) { return c < ' ' || c > '~'; }, '?');
        throw UsageError(place_in(name, wrong.source().begin.line) + why);
    }
}

ConfigFile read_config_file(const std::string& path) {
    return parse_config(read_small_file(path, file_bytes_max, path), path);
}

}  // namespace karma::cli
