#pragma once

#include <cstdint>
#include <string>

#include <boost/json/object.hpp>

#include "perf/measure/histogram.h"

namespace karma::perf {

// "1,234,567"
std::string with_separators(std::uint64_t number);

// "12.34": fixed notation.
std::string fixed(double number, int digits);

// "p50 1.2 p90 … p95 … p99 … p99.9 … max … mean …" of a histogram of nanoseconds, in microseconds.
std::string percentiles_text(const Histogram& nanoseconds);

// {"p50":…,"p90":…,"p95":…,"p99":…,"p99.9":…,"max":…,"mean":…} of a histogram of nanoseconds, in
// microseconds.
boost::json::object percentiles_json(const Histogram& nanoseconds);

}  // namespace karma::perf
