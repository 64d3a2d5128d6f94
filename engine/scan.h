#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/series.h"

/// Questions about a whole series, answered from a view: no lock, any thread, while writes go on.
namespace karma {

/// Ends a scan that takes too long or was cancelled. The scan checks it at every page; it then throws
/// RequestError: `query_timeout` when the time is up, `internal_error` when it was cancelled. Derived classes
/// have the clock.
class Deadline {
public:
    Deadline() = default;
    Deadline(const Deadline&) = delete;
    Deadline& operator=(const Deadline&) = delete;
    virtual ~Deadline() = default;

    void check() const;

protected:
    /// The time is up, or `is_cancelled`.
    virtual bool expired() const = 0;
    /// The process is stopping.
    virtual bool is_cancelled() const { return false; }
};

/// A deadline that never comes.
class NoDeadline final : public Deadline {
protected:
    bool expired() const override { return false; }
};

/// A deadline that cancels when a flag, which outlives it, is set: the process is stopping.
class UntilStopped final : public Deadline {
public:
    explicit UntilStopped(const std::atomic<bool>& stopping) : stopping_(stopping) {}

protected:
    bool expired() const override { return is_cancelled(); }
    bool is_cancelled() const override { return stopping_.load(std::memory_order_relaxed); }

private:
    const std::atomic<bool>& stopping_;
};

struct KeyValue {
    std::uint64_t key = 0;
    std::uint64_t value = 0;

    bool operator==(const KeyValue&) const = default;
};

struct Summary {
    Uint128 total = 0;
    std::uint64_t active_keys = 0;  // all keys; with a range those with a bucket in it
    std::uint64_t buckets = 0;
};

struct KeyPage {
    std::vector<KeyValue> keys;  // key and total, ascending by key
    std::optional<std::uint64_t> next_cursor;
};

struct DayTotal {
    Day day = 0;
    Uint128 total = 0;

    bool operator==(const DayTotal&) const = default;
};

struct KeyPoints {
    std::uint64_t key = 0;
    std::vector<Point> points;
};

Summary scan_summary(const SeriesView& view, const std::optional<DayRange>& range, const Deadline& deadline);

/// The `limit` keys with the largest values above 0, by value descending, then key ascending.
std::vector<KeyValue> scan_top(const SeriesView& view, std::size_t limit,
                               const std::optional<DayRange>& range, const Deadline& deadline);

/// The first `limit` keys above the cursor.
KeyPage scan_keys(const SeriesView& view, std::size_t limit, const std::optional<std::uint64_t>& cursor,
                  const Deadline& deadline);

/// The sums of all keys in the range, bucket by bucket, ascending by day; without days that have none.
std::vector<DayTotal> scan_totals(const SeriesView& view, const DayRange& range, const Deadline& deadline);

/// All keys, ascending.
std::vector<std::uint64_t> scan_all_keys(const SeriesView& view, const Deadline& deadline);

/// 128 bits that depend on what a series holds (its name, keys and buckets) and on nothing else: not on the
/// order of events, pages, encodings or hash seeds. Digests of several series are added. It does not protect
/// against a state that was forged on purpose.
struct Digest {
    std::uint64_t low = 0;
    std::uint64_t high = 0;

    Digest& operator+=(const Digest& other) noexcept {
        low += other.low;
        high += other.high;
        return *this;
    }
    Digest& operator-=(const Digest& other) noexcept {
        low -= other.low;
        high -= other.high;
        return *this;
    }
    bool operator==(const Digest&) const = default;

    /// 32 hexadecimal digits.
    std::string text() const;
};

Digest scan_digest(const SeriesView& view, const Deadline& deadline);

}  // namespace karma
