#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <span>
#include <string>

#include <boost/program_options/options_description.hpp>

#include "cli/batch_builder.h"
#include "cli/client_options.h"
#include "cli/import_stream.h"

namespace karma::cli {

enum class ProgressMode { automatic, always, never };

/// The options and arguments of `karma import`.
struct ImportOptions {
    ClientOptions client;
    std::string file;  // "-": standard input
    std::string series;
    BatchMode mode = BatchMode::add;
    BatchLimits limits;
    std::size_t in_flight = 64;
    std::uint64_t first_line = 1;
    bool skip_bad = false;
    std::string import_id;     // empty: follows from the content
    std::uint64_t repeat = 1;  // how many times the content is to be imported with this run
    bool live = false;
    bool abort = false;
    ProgressMode progress = ProgressMode::automatic;
    bool quiet = false;
};

/// The options of `karma import FILE`.
boost::program_options::options_description import_csv_options();

/// Reads the arguments. Nothing when they ask for help, which is printed to `out` then. Throws UsageError.
std::optional<ImportOptions> read_import_options(std::span<const std::string> args, std::ostream& out);

}  // namespace karma::cli
