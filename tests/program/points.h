#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "tests/support/client.h"

// The counters of a series, as the tests reckon with them.
namespace karma::test {

using Point = std::pair<std::uint64_t, std::uint32_t>;  // key, bucket
using Points = std::map<Point, std::uint64_t>;          // without zeros
using State = std::map<std::string, Points>;            // by series, without empty ones

// All points of a series, in 2026; none when it does not exist.
Points read_points(Client& client, const std::string& series);

// The same of every series that there is.
State read_state(Client& client);

// The points of some keys, read with counter.series, each key by itself. Throws std::runtime_error when the
// totals of counter.batch_sum, or of counter.sum, are not their sums.
Points read_points_by_key(Client& client, const std::string& series, const json::array& keys);

// Where the two differ; empty when they do not.
std::string first_difference(const Points& wanted, const Points& found);
std::string first_difference(const State& wanted, const State& found);

// `more` added to `state`.
void add_points(const State& more, State& state);

}  // namespace karma::test
