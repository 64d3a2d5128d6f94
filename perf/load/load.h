#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <boost/json/object.hpp>

#include "perf/load/options.h"
#include "perf/load/worker.h"

namespace karma::perf {

struct LoadResult {
    Outcome outcome;
    double seconds = 0;           // measured
    std::uint64_t preloaded = 0;  // counters
    double preload_seconds = 0;
};

// Does what the options say, start to end: preload, warm-up, measurement. A run that could not be completed
// has a reason in outcome.failure. Blocks for about preload, warm-up and measured time, and at most the
// timeout longer.
LoadResult run_load(const LoadOptions& options);

// For people: some lines, the last with its line end.
std::string report_text(const LoadOptions& options, const LoadResult& result);

// For programs; perf/README.md describes the members.
boost::json::object report_json(const LoadOptions& options, const LoadResult& result);

}  // namespace karma::perf
