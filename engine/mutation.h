#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

#include "engine/day.h"
#include "engine/identity.h"
#include "engine/period.h"

namespace karma {

/// What the chunks of an ingest stream do to their series. The numbers are part of formats: never changed.
enum class IngestMode : std::uint8_t {
    add = 0,
    set = 1,
    replace_series = 2,  // they make a series of their own, which takes the other's place at the commit
};

/// The mode as it is written on the wire.
std::string_view ingest_mode_name(IngestMode mode) noexcept;
std::optional<IngestMode> ingest_mode_from_name(std::string_view name) noexcept;

}  // namespace karma

/// Commands: the changes of state that a client asks for. What becomes of one is decided in a state, at a
/// time (decide.h): the fact of an event (fact.h), or an answer and no event.
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
    bool shows_totals = false;  // the reply has the bucket's and the key's totals
};

/// Takes from a bucket, which stops at 0; creates the series and the key.
struct Decrement {
    std::string_view series;
    std::uint64_t key = 0;
    Day day = today;
    std::uint64_t value = 1;
    bool shows_totals = false;  // the reply has the bucket's and the key's totals
};

/// Adds all items or none; creates the series.
struct BatchAdd {
    std::string_view series;
    std::span<const Item> items;
};

/// An addition to a counter of any series.
struct SeriesItem {
    std::string_view series;
    std::uint64_t key = 0;
    Day day = today;
    std::uint64_t value = 1;

    bool operator==(const SeriesItem&) const = default;
};

/// Adds all items or none, each to its own series; creates the series.
struct MultiAdd {
    std::span<const SeriesItem> items;
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
    Period range;
};

/// Removes all buckets in the range; creates the series.
struct DeleteSeriesRange {
    std::string_view series;
    Period range;
};

struct BatchDeleteRange {
    std::string_view series;
    std::span<const std::uint64_t> keys;
    Period range;
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

/// Opens an ingest stream: chunks of items, each applied once however often it is sent.
struct BeginStream {
    std::string_view stream_id;
    IngestMode mode = IngestMode::add;
    std::optional<std::string_view> granularity;
};

/// The next chunk of a stream; the first one binds the stream to its series. In mode `add` the values are 1
/// or more, in the others 0 removes a bucket and the last of equal ones wins.
struct AddChunk {
    std::string_view stream_id;
    std::string_view series;
    std::uint64_t chunk_seq = 0;  // from 1
    std::span<const Item> items;
};

struct CommitStream {
    std::string_view stream_id;
};

/// Forgets a stream. What add and set have applied stays.
struct AbortStream {
    std::string_view stream_id;
};

/// Ends a stream of mode replace_series that holds what a snapshot held: its series takes the other's place,
/// and the stream is forgotten.
struct LoadSeries {
    std::string_view stream_id;
};

/// Removes idempotency records, the oldest first: those created before an instant, `limit` of them at most.
struct PruneRecords {
    std::int64_t before_unix = 0;
    std::optional<std::uint64_t> limit;
};

/// Forgets committed ingest streams, the ones that were committed first: those committed before an instant,
/// `limit` of them at most.
struct PruneStreams {
    static constexpr std::uint64_t limit_max = 10'000;

    std::int64_t before_unix = 0;
    std::uint64_t limit = 0;
};

/// Begins an epoch: from here on the node that made this event is the one that accepts writes.
struct StartEpoch {
    std::uint64_t number = 0;  // one more than the epoch before
    std::uint64_t id = 0;      // random: two nodes that begin the same epoch can be told apart
    NodeId node = 0;           // which begins it; 0 in events of versions that did not name it
};

}  // namespace karma::mutation

namespace karma {

/// Appending an alternative is fine; the order is not part of any format.
using Mutation =
    std::variant<mutation::CreateSeries, mutation::DropSeries, mutation::Increment, mutation::Decrement,
                 mutation::BatchAdd, mutation::BatchSet, mutation::ResetCounter, mutation::ResetSeries,
                 mutation::BatchReset, mutation::DeleteCounterRange, mutation::DeleteSeriesRange,
                 mutation::BatchDeleteRange, mutation::DeleteBefore, mutation::CompactSeries,
                 mutation::CompactAll, mutation::SaveCheckpoint, mutation::BeginStream, mutation::AddChunk,
                 mutation::CommitStream, mutation::AbortStream, mutation::PruneRecords, mutation::LoadSeries,
                 mutation::StartEpoch, mutation::PruneStreams, mutation::MultiAdd>;

/// What the ids of streams begin with that load snapshots; clients cannot use it.
inline constexpr std::string_view load_stream_prefix = "snapshot.load/";

/// The series that a mutation concerns; empty where it concerns none, several or all.
std::string_view series_of(const Mutation& body) noexcept;

/// The ingest stream that a mutation concerns; empty where it concerns none.
std::string_view stream_of(const Mutation& body) noexcept;

namespace detail {

/// The series that an alternative of a variant names.
template <typename Variant>
std::string_view series_in(const Variant& body) noexcept {
    return std::visit(
        [](const auto& m) -> std::string_view {
            if constexpr (requires { m.series; }) {
                return m.series;
            } else {
                return {};
            }
        },
        body);
}

/// The ingest stream that it names.
template <typename Variant>
std::string_view stream_in(const Variant& body) noexcept {
    return std::visit(
        [](const auto& m) -> std::string_view {
            if constexpr (requires { m.stream_id; }) {
                return m.stream_id;
            } else {
                return {};
            }
        },
        body);
}

}  // namespace detail

}  // namespace karma
