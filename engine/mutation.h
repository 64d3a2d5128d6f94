#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

#include "engine/day.h"

/// Changes of state. The same types serve as commands (what a client asks for) and as the facts of events
/// (what happened): a command whose day is `today` gets its day when it is executed, an event always has its
/// days.
///
/// Texts and spans are borrowed from whoever made the mutation.
namespace karma::mutation {

struct Item {
    std::uint64_t key = 0;
    Day day = 0;
    std::uint64_t value = 0;

    bool operator==(const Item&) const = default;
};

/// Creates a series; nothing changes when it exists.
struct CreateSeries {
    std::string_view series;
};

struct DropSeries {
    std::string_view series;
};

/// Adds to a bucket; creates the series and the key.
struct Increment {
    std::string_view series;
    std::uint64_t key = 0;
    Day day = today;
    std::uint64_t value = 1;
};

/// Takes from a bucket, which stops at 0; creates the series and the key.
struct Decrement {
    std::string_view series;
    std::uint64_t key = 0;
    Day day = today;
    std::uint64_t value = 1;
};

/// Adds all items or none; creates the series.
struct BatchAdd {
    std::string_view series;
    std::span<const Item> items;
};

/// Sets buckets, 0 removing one; the last of equal ones wins.
struct BatchSet {
    std::string_view series;
    std::span<const Item> items;
};

/// Removes the buckets of a key; creates the series.
struct ResetCounter {
    std::string_view series;
    std::uint64_t key = 0;
};

/// Removes all buckets, the keys stay; creates the series.
struct ResetSeries {
    std::string_view series;
};

struct BatchReset {
    std::string_view series;
    std::span<const std::uint64_t> keys;
};

/// Removes a key's buckets in the range; creates the series.
struct DeleteCounterRange {
    std::string_view series;
    std::uint64_t key = 0;
    DayRange range;
};

/// Removes all buckets in the range; creates the series.
struct DeleteSeriesRange {
    std::string_view series;
    DayRange range;
};

struct BatchDeleteRange {
    std::string_view series;
    std::span<const std::uint64_t> keys;
    DayRange range;
};

/// Removes the buckets before a day, then the keys that have none.
struct DeleteBefore {
    std::string_view series;
    Day before = 0;
};

/// Drops the keys of a series that have no buckets.
struct CompactSeries {
    std::string_view series;
};

/// The same for all series.
struct CompactAll {};

/// Where a recovery that reads `source` has come to. At least one of offset and event_id is given.
struct SaveCheckpoint {
    std::string_view source;
    std::optional<std::string_view> offset;
    std::optional<std::string_view> event_id;
};

}  // namespace karma::mutation

namespace karma {

/// Appending an alternative is fine; the order is not part of any format.
using Mutation =
    std::variant<mutation::CreateSeries, mutation::DropSeries, mutation::Increment, mutation::Decrement,
                 mutation::BatchAdd, mutation::BatchSet, mutation::ResetCounter, mutation::ResetSeries,
                 mutation::BatchReset, mutation::DeleteCounterRange, mutation::DeleteSeriesRange,
                 mutation::BatchDeleteRange, mutation::DeleteBefore, mutation::CompactSeries,
                 mutation::CompactAll, mutation::SaveCheckpoint>;

/// The series that a mutation concerns; empty where it concerns none or all.
std::string_view series_of(const Mutation& body) noexcept;

}  // namespace karma
