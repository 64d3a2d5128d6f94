#include "cli/token_tables.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <utility>

#include "cli/command_line.h"
#include "cli/option_values.h"
#include "cli/text.h"
#include "net/nearest_word.h"

namespace karma::cli {

namespace {

constexpr std::size_t tokens_max = 256;
constexpr std::size_t names_bytes_max = 200;
constexpr std::size_t globs_max = 100;
constexpr std::size_t glob_bytes_max = 512;

constexpr std::array<std::string_view, 5> token_keys{"name", "token", "token_file", "access", "series"};

/// One [[token]] table.
class TokenTable {
public:
    TokenTable(const toml::table& table, const std::string& file) : table_(table), file_(file) {
        for (const auto& [key, node] : table_) {
            if (std::ranges::find(token_keys, key.str()) == token_keys.end()) {
                throw UsageError(place(key.source()) + cli::quoted(key.str()) +
                                 " is no key of [[token]]: the nearest known one is " +
                                 std::string(net::nearest_word(key.str(), token_keys)));
            }
        }
    }

    TokenEntry entry() const {
        TokenEntry entry;
        entry.source = place(table_.source()) + "[[token]]";
        entry.token.name = required("name", names_bytes_max);
        if (table_.contains("token") == table_.contains("token_file")) {
            throw UsageError(entry.source + " needs token or token_file, and not both");
        }
        entry.file = table_.contains("token_file") ? required("token_file", file_bytes_max) : std::string();
        entry.token.token = table_.contains("token") ? required("token", file_bytes_max) : std::string();
        entry.token.access = access();
        entry.token.series = net::SeriesGlobs(globs());
        if (entry.token.access == net::AccessLevel::admin && !entry.token.series.empty()) {
            throw UsageError(entry.source + ": admin is for all series: leave out access or series");
        }
        return entry;
    }

private:
    static constexpr std::size_t file_bytes_max = 4096;

    std::string place(const toml::source_region& region) const {
        return file_ + ":" + std::to_string(region.begin.line) + ": ";
    }

    std::string required(const char* key, std::size_t bytes_max) const {
        const toml::node* const node = table_.get(key);
        if (node == nullptr) {
            throw UsageError(place(table_.source()) + "[[token]] needs " + key);
        }
        return text_in(*node, key, bytes_max);
    }

    std::string text_in(const toml::node& node, const char* key, std::size_t bytes_max) const {
        const auto* const text = node.as_string();
        if (text == nullptr || text->get().empty() || text->get().size() > bytes_max ||
            text->get().find('\0') != std::string::npos) {
            throw UsageError(place(node.source()) + key + " must be a string of 1 to " +
                             std::to_string(bytes_max) + " bytes");
        }
        return text->get();
    }

    net::AccessLevel access() const {
        using net::AccessLevel;
        const toml::node* const node = table_.get("access");
        const std::string text = required("access", names_bytes_max);
        for (const auto& [word, level] : {std::pair<std::string_view, AccessLevel>{"read", AccessLevel::read},
                                          {"write", AccessLevel::write},
                                          {"admin", AccessLevel::admin}}) {
            if (word == text) {
                return level;
            }
        }
        throw UsageError(place(node->source()) + "access must be read, write or admin, not " +
                         cli::quoted(text));
    }

    std::vector<std::string> globs() const {
        const toml::node* const node = table_.get("series");
        if (node == nullptr) {
            return {};
        }
        const toml::array* const list = node->as_array();
        // An empty one could mean all series, or none.
        if (list == nullptr || list->empty() || list->size() > globs_max) {
            throw UsageError(place(node->source()) + "series must be an array of 1 to " +
                             std::to_string(globs_max) + " patterns");
        }
        std::vector<std::string> globs;
        for (const toml::node& glob : *list) {
            globs.push_back(text_in(glob, "series", glob_bytes_max));
        }
        return globs;
    }

    const toml::table& table_;
    const std::string& file_;
};

}  // namespace

std::vector<TokenEntry> read_token_tables(const toml::node& tables, const std::string& name) {
    const std::string source = name + ":" + std::to_string(tables.source().begin.line) + ": ";
    const toml::array* const list = tables.as_array();
    if (list == nullptr ||
        !std::ranges::all_of(*list, [](const toml::node& node) { return node.is_table(); })) {
        throw UsageError(source + "tokens are tables with the heading [[token]]");
    }
    if (list->size() > tokens_max) {
        throw UsageError(source + "more than " + std::to_string(tokens_max) + " tokens");
    }
    std::vector<TokenEntry> entries;
    std::set<std::string> names;
    for (const toml::node& node : *list) {
        entries.push_back(TokenTable(*node.as_table(), name).entry());
        if (!names.insert(entries.back().token.name).second) {
            throw UsageError(entries.back().source + ": another token has the name " +
                             cli::quoted(entries.back().token.name));
        }
    }
    return entries;
}

}  // namespace karma::cli
