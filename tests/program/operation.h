#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tests/program/points.h"
#include "tests/support/json.h"

namespace karma::test {

// A mutation that takes an idempotency key, as the tests reckon with it.
struct Operation {
    enum class Kind {
        increment,
        decrement,
        batch_add,
        batch_set,
        reset,
        batch_reset,
        delete_range,
        batch_delete_range,
        // The whole series:
        reset_series,
        delete_series_range,
    };
    struct Item {
        std::uint64_t key;
        std::uint32_t bucket;
        std::uint64_t value;
    };

    Kind kind;
    std::string series;
    std::vector<Item> items;          // of increment, decrement (one) and the batches of items
    std::vector<std::uint64_t> keys;  // of reset, delete_range (one) and the batches of keys
    std::uint32_t from = 0;           // of the ranges
    std::uint32_t to = 0;
};

// Items drawn from these keys, on some days of January 2026.
std::vector<Operation::Item> random_items(std::mt19937_64& random, const std::vector<std::uint64_t>& keys,
                                          std::size_t count, std::uint64_t value_min);

// Any operation on these keys of a series; on all of the series too, when `whole_series`.
Operation random_operation(std::mt19937_64& random, const std::string& series,
                           const std::vector<std::uint64_t>& keys, bool whole_series);

// Does to the state what a daemon has to do, and gives the response.
json::value execute(const Operation& operation, State& state);

// The items as requests have them: [[key,bucket,value],…].
json::array to_json(const std::vector<Operation::Item>& items);

// One of the ways to write a request: with or without aliases of names, the fields in any order, days as
// numbers or texts. `extra`: fields that come as they are.
std::string spell(const Operation& operation, const json::object& extra, std::mt19937_64& random);

// Another operation, close to this one.
Operation altered(const Operation& operation, std::mt19937_64& random);

}  // namespace karma::test
