#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/program/keyed_request.h"
#include "tests/program/lane.h"
#include "tests/program/operation.h"
#include "tests/program/points.h"

// What several producers of one run have in common: which counters are whose, how keyed requests are made,
// and when to stop.
namespace karma::test {

// Producers share these series, each with keys of its own in them.
extern const std::array<std::string, 2> shared_series;
// Keys in them that everybody adds to, and nobody takes from.
bool is_shared_key(std::uint64_t key);
std::vector<Operation::Item> random_shared_items(std::mt19937_64& random, std::size_t count);

// The counters that one producer alone changes.
struct Estate {
    std::uint64_t number;
    std::string series;               // all of it
    std::vector<std::uint64_t> keys;  // in every series

    // Numbers are from 1, another for each producer.
    explicit Estate(std::uint64_t number);

    std::string name() const { return "producer " + std::to_string(number); }
    bool owns(const std::string& in_series, std::uint64_t key) const;
    State part_of(const State& state) const;
    // A number for one of its requests, that no other has.
    std::uint64_t unique(std::uint64_t serial) const { return number * 1'000'000'000 + serial; }
};

// A keyed request that asks for the operation: its spellings, and others with its key. `unique` makes the
// key.
std::shared_ptr<KeyedRequest> make_keyed_request(const Operation& operation, json::value response,
                                                 std::uint64_t unique, std::mt19937_64& random);

// Reads one of the estate's keys and throws std::runtime_error when it is not what `own` says. Nothing that
// changes it may be on its way.
void check_own_sum(Lane& lane, const Estate& estate, const State& own, std::mt19937_64& random);

// What producers tell and are told while they run.
struct RunSignals {
    // Requests that were acknowledged, of all together.
    std::atomic<std::uint64_t> acknowledged{0};
    // Nothing new is begun; what is open is brought to its end.
    std::atomic<bool> finishing{false};
    // Somebody has seen what must not be: all stop.
    std::atomic<bool> failed{false};
};

}  // namespace karma::test
