#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <span>
#include <string>

#include "cli/batch_builder.h"
#include "cli/client_options.h"

namespace karma::cli {

enum class ProgressMode { automatic, always, never };

/// What the command line of `karma import` says.
struct ImportOptions {
    ClientOptions client;
    std::string file;  // "-": standard input
    std::string series;
    BatchMode mode = BatchMode::add;
    BatchLimits limits;
    std::size_t in_flight = 64;
    std::uint64_t first_line = 1;
    bool skip_bad = false;
    ProgressMode progress = ProgressMode::automatic;
    bool quiet = false;
};

/// Reads the arguments. Nothing when they ask for help, which is printed to `out` then. Throws UsageError.
std::optional<ImportOptions> read_import_options(std::span<const std::string> args, std::ostream& out);

}  // namespace karma::cli
