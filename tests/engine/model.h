#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "engine/engine.h"

namespace karma::test {

/// What counters are, in the plainest way: the engine must agree with it.
struct Model {
    using Buckets = std::map<Day, std::uint64_t>;
    using Keys = std::map<std::uint64_t, Buckets>;

    std::map<std::string, Keys> series;

    static std::uint64_t total(const Buckets& buckets) {
        std::uint64_t sum = 0;
        for (const auto& entry : buckets) {
            sum += entry.second;
        }
        return sum;
    }
    static std::size_t erase(Buckets& buckets, DayRange range) {
        return std::erase_if(
            buckets, [&](const auto& entry) { return range.from <= entry.first && entry.first <= range.to; });
    }
};

/// The keys of a view with all their buckets.
inline Model::Keys contents(const SeriesView& view) {
    Model::Keys keys;
    for (const PageRef& page : view.pages()) {
        page->for_each([&](Counter counter) {
            Model::Buckets& buckets = keys[counter.key()];
            counter.for_each(DayRange{}, [&](Point point) { buckets.emplace(point.day, point.value); });
        });
    }
    return keys;
}

inline SeriesTotals totals(const Model::Keys& keys) {
    SeriesTotals totals;
    for (const auto& entry : keys) {
        ++totals.keys;
        totals.buckets += entry.second.size();
        for (const auto& bucket : entry.second) {
            totals.total += bucket.second;
        }
    }
    return totals;
}

}  // namespace karma::test
