#include "cli/option_table.h"

#include <utility>

namespace karma::cli {

namespace {

std::vector<OptionSection> all_sections() {
    std::vector<OptionSection> all;
    for (auto* const part : {general_option_sections, listener_option_sections, storage_option_sections,
                             serving_option_sections, replication_option_sections}) {
        for (OptionSection& section : part()) {
            all.push_back(std::move(section));
        }
    }
    return all;
}

}  // namespace

const std::vector<OptionSection>& option_sections() {
    static const std::vector<OptionSection> all = all_sections();
    return all;
}

const Option* find_option(std::string_view name) noexcept {
    for (const OptionSection& section : option_sections()) {
        for (const Option& option : section.options) {
            if (option.name == name) {
                return &option;
            }
        }
    }
    return nullptr;
}

}  // namespace karma::cli
