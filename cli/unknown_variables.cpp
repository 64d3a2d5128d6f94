#include "cli/unknown_variables.h"

#include <algorithm>
#include <string_view>

#include "cli/option_table.h"
#include "net/nearest_word.h"

namespace karma::cli {
namespace {

constexpr std::string_view prefix = "KARMA_";

std::vector<std::string_view> known_variables() {
    // Those of the other subcommands.
    std::vector<std::string_view> known = {"KARMA_URL", "KARMA_TOKEN", "KARMA_TLS_CA", "KARMA_TLS_CERT",
                                           "KARMA_TLS_KEY"};
    for (const OptionSection& section : option_sections()) {
        for (const Option& option : section.options) {
            if (*option.variable != '\0') {
                known.emplace_back(option.variable);
            }
        }
    }
    return known;
}

/// KARMA_SERVICE_HOST=10.0.0.7, KARMA_PORT_8080_TCP_ADDR=10.0.0.7, KARMA_READ_PORT=tcp://10.0.0.7:8080.
bool is_of_service(std::string_view name, std::string_view value) {
    const auto has = [name](std::string_view part) { return name.find(part) != std::string_view::npos; };
    return has("_SERVICE_HOST") || has("_SERVICE_PORT") ||
           (has("_PORT_") && (has("_TCP") || has("_UDP") || has("_SCTP"))) ||
           value.find("://") != std::string_view::npos;
}

}  // namespace

std::vector<std::string> unknown_variables(const char* const* environment) {
    const std::vector<std::string_view> known = known_variables();
    std::vector<std::string> warnings;
    for (; environment != nullptr && *environment != nullptr; ++environment) {
        const std::string_view entry = *environment;
        const std::string_view name = entry.substr(0, entry.find('='));
        if (!name.starts_with(prefix) || name.size() == entry.size() ||
            std::ranges::find(known, name) != known.end() ||
            is_of_service(name, entry.substr(name.size() + 1))) {
            continue;
        }
        warnings.push_back(std::string(name) + " is set in the environment and has no effect: the nearest " +
                           "known one is " + std::string(net::nearest_word(name, known)));
    }
    return warnings;
}

}  // namespace karma::cli
