#pragma once

#include <string>
#include <vector>

#include "cli/serve_options.h"
#include "cli/toml.h"

namespace karma::cli {

/// The tokens of the [[token]] tables of a file that messages call `name`. Throws UsageError that names the
/// file and the line. Files that tokens are in are not read.
std::vector<TokenEntry> read_token_tables(const toml::node& tables, const std::string& name);

}  // namespace karma::cli
