#pragma once

#include <string_view>
#include <vector>

#include "cli/option.h"

namespace karma::cli {

/// All options of the daemon, in the order in which they are explained. The command line, the environment,
/// the help and docs/configuration.md are made from them.
const std::vector<OptionSection>& option_sections();

/// An option by its long name; null where there is none.
const Option* find_option(std::string_view name) noexcept;

// The parts of the table, by subject.
std::vector<OptionSection> general_option_sections();
std::vector<OptionSection> listener_option_sections();
std::vector<OptionSection> storage_option_sections();
std::vector<OptionSection> serving_option_sections();
std::vector<OptionSection> replication_option_sections();

}  // namespace karma::cli
