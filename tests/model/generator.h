#pragma once

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/model/model.h"
#include "tests/support/settings.h"

namespace karma::test::model {

// What requests are about.
struct Taste {
    std::uint64_t keys = 12;       // different ones
    std::size_t batch_items = 12;  // at most
    bool has_snapshots = true;
    bool has_large_series = false;  // series whose pages are more than 256 KiB
};

// Makes random requests, right ones and wrong ones, of few series, keys, days and streams, so that they meet.
class Generator {
public:
    // `prefix` stands before all names.
    Generator(std::mt19937_64& random, const Taste& taste, std::string prefix = {})
        : random_(random), taste_(taste), prefix_(std::move(prefix)) {}

    // The line of a request that suits the state of the model.
    std::string next(const Model& model);
    // The same, of the series, streams and idempotency keys of this generator alone when it has a prefix, and
    // without anything that depends on what others do.
    std::string next_local(const Model& model);
    // Requests that together fill a series with many keys.
    std::vector<std::string> large_series(const std::string& name, std::size_t keys);
    std::string series();

private:
    json::object right(const Model& model);
    json::object read(const Model& model);
    json::object write(const Model& model);
    json::object ingest(const Model& model);
    json::object snapshot(const Model& model);
    json::object history(const Model& model);
    json::object rare(const Model& model);
    void spoil(json::object& request);
    std::string spoiled_line(const json::object& request);
    void maybe_key(json::object& request, const Model& model);

    json::value day();
    std::uint64_t day_number();
    json::object range();
    std::uint64_t key();
    std::uint64_t value();
    json::array items(bool zero, const Model& model);
    json::array series_items(const std::string& name);
    json::array keys();
    std::uint64_t between(std::uint64_t low, std::uint64_t high) {
        return random_between(random_, low, high);
    }
    bool once_in(std::uint64_t count) { return one_in(random_, count); }
    template <typename T>
    const T& one_of(const std::vector<T>& values) {
        return values[between(0, values.size() - 1)];
    }

    std::mt19937_64& random_;
    Taste taste_;
    std::string prefix_;
};

}  // namespace karma::test::model
