#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "engine/day.h"
#include "engine/fingerprint.h"
#include "engine/mutation.h"
#include "engine/number.h"

/// What has happened: what the events of the log hold. A fact has all that replaying it needs, wherever and
/// whenever that is done: its days, and what was found in the state when its command was decided, are in it.
///
/// A kind whose command says all of it already is the same type as its command.
///
/// Texts and spans are borrowed from whoever made the fact.
namespace karma::fact {

using mutation::AbortStream;
using mutation::BatchAdd;
using mutation::BatchReset;
using mutation::BatchSet;
using mutation::BeginStream;
using mutation::CommitStream;
using mutation::CompactAll;
using mutation::CompactSeries;
using mutation::CreateSeries;
using mutation::DeleteBefore;
using mutation::DropSeries;
using mutation::LoadSeries;
using mutation::ResetCounter;
using mutation::ResetSeries;
using mutation::SaveCheckpoint;
using mutation::StartEpoch;

struct Increment {
    std::string_view series;
    std::uint64_t key = 0;
    Day day = 0;
    std::uint64_t value = 1;
};

struct Decrement {
    std::string_view series;
    std::uint64_t key = 0;
    Day day = 0;
    std::uint64_t value = 1;
};

/// Items of a command, each with its day: those that were left to the clock have that of the command. Copies
/// nothing.
class DatedItems {
public:
    class Iterator {
    public:
        using value_type = mutation::SeriesItem;
        using difference_type = std::ptrdiff_t;

        Iterator() = default;
        Iterator(const mutation::SeriesItem* at, Day day) noexcept : at_(at), day_(day) {}

        mutation::SeriesItem operator*() const noexcept { return dated(*at_, day_); }
        Iterator& operator++() noexcept {
            ++at_;
            return *this;
        }
        Iterator operator++(int) noexcept { return {at_++, day_}; }
        bool operator==(const Iterator& other) const noexcept { return at_ == other.at_; }

    private:
        const mutation::SeriesItem* at_ = nullptr;
        Day day_ = 0;
    };

    DatedItems() = default;
    /// `day`: of the items that have `today`.
    DatedItems(std::span<const mutation::SeriesItem> items, Day day) noexcept : items_(items), day_(day) {}

    std::size_t size() const noexcept { return items_.size(); }
    bool empty() const noexcept { return items_.empty(); }
    mutation::SeriesItem operator[](std::size_t i) const noexcept { return dated(items_[i], day_); }
    Iterator begin() const noexcept { return {items_.data(), day_}; }
    Iterator end() const noexcept { return {items_.data() + items_.size(), day_}; }

private:
    static mutation::SeriesItem dated(mutation::SeriesItem item, Day day) noexcept {
        item.day = item.day == today ? day : item.day;
        return item;
    }

    std::span<const mutation::SeriesItem> items_;
    Day day_ = 0;
};

struct MultiAdd {
    DatedItems items;
};

struct DeleteCounterRange {
    std::string_view series;
    std::uint64_t key = 0;
    DayRange range;
};

struct DeleteSeriesRange {
    std::string_view series;
    DayRange range;
};

struct BatchDeleteRange {
    std::string_view series;
    std::span<const std::uint64_t> keys;
    DayRange range;
};

struct AddChunk {
    std::string_view stream_id;
    std::string_view series;
    std::uint64_t chunk_seq = 0;
    std::span<const mutation::Item> items;
    Fingerprint fingerprint;  // of this chunk
};

struct PruneRecords {
    std::int64_t before_unix = 0;
    std::optional<std::uint64_t> limit;
    /// The records that the limit took were those of lower LSNs. What is too old already, and so not among
    /// them, is not the same on each node. 0 without a limit, and in events of earlier versions.
    Lsn below_lsn = 0;
};

struct PruneStreams {
    std::int64_t before_unix = 0;
    std::uint64_t limit = 0;
    /// The last one that went, by the time of its commit and then by its id. A state that is rebuilt has no
    /// others of them than those that this says.
    std::string_view last_id;
    std::int64_t last_unix = 0;
};

}  // namespace karma::fact

namespace karma {

/// Appending an alternative is fine; the order is not part of any format.
using Fact =
    std::variant<fact::CreateSeries, fact::DropSeries, fact::Increment, fact::Decrement, fact::BatchAdd,
                 fact::BatchSet, fact::ResetCounter, fact::ResetSeries, fact::BatchReset,
                 fact::DeleteCounterRange, fact::DeleteSeriesRange, fact::BatchDeleteRange,
                 fact::DeleteBefore, fact::CompactSeries, fact::CompactAll, fact::SaveCheckpoint,
                 fact::BeginStream, fact::AddChunk, fact::CommitStream, fact::AbortStream, fact::PruneRecords,
                 fact::LoadSeries, fact::StartEpoch, fact::PruneStreams, fact::MultiAdd>;

/// What a fact borrows that its command does not hold. Kept by who decides, so that its memory is used again.
struct FactMemory {
    std::string text;
};

/// The series that a fact concerns; empty where it concerns none, several or all.
std::string_view series_of(const Fact& fact) noexcept;

/// Whether a fact names a series.
bool names_series(const Fact& fact, std::string_view series) noexcept;

/// The ingest stream that a fact concerns; empty where it concerns none.
std::string_view stream_of(const Fact& fact) noexcept;

}  // namespace karma
