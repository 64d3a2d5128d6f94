#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

namespace karma {

/// The time of a database: the machine's clock, but for a reading that may be wrong. A step of that clock by
/// more than `tolerated_ms` counts only when it has lasted for `confirmed_after_ms`; until then time goes on
/// as the monotonic clock does. Thread-safe.
class DatabaseClock {
public:
    static constexpr std::int64_t tolerated_ms = 2'000;
    static constexpr std::int64_t confirmed_after_ms = 30'000;

    /// Gives milliseconds.
    using Reader = std::function<std::int64_t()>;

    struct Reading {
        std::int64_t now_ms = 0;     // Unix time
        std::int64_t steady_ms = 0;  // of the monotonic clock: for intervals
    };

    /// `unix_ms` may step, `steady_ms` may not. An empty one is the machine's; where only `unix_ms` is given,
    /// it is both.
    DatabaseClock(const Reader& unix_ms, const Reader& steady_ms);

    Reading read();
    std::int64_t now_ms() { return read().now_ms; }
    std::int64_t steady_ms() const { return steady_ms_(); }

    /// To be called about every second: follows a clock that is slowly put right, and gives what has to be
    /// told about steps since the last call.
    std::vector<std::string> follow();

    /// Steps since the start.
    std::uint64_t steps() const noexcept { return steps_.load(std::memory_order_relaxed); }

private:
    struct Step {
        std::int64_t since_ms = 0;  // monotonic
        std::int64_t by_ms = 0;
    };

    std::int64_t during_step(std::int64_t steady, std::int64_t unix_now);
    void end_step();

    Reader unix_ms_;
    Reader steady_ms_;
    std::atomic<std::int64_t> offset_ms_;  // Unix time less monotonic time, as far as it is believed
    std::atomic<bool> is_stepping_{false};
    std::atomic<std::uint64_t> steps_{0};
    std::mutex mutex_;
    // Under it:
    Step step_;
    std::vector<std::string> messages_;
};

/// By what the age of idempotency records and events is measured: follows the time of the database, but never
/// faster than time passes (and a sixteenth, to catch up with the time that no daemon was running). So no
/// clock that is ahead, at the start neither, makes anything old at once. Not thread-safe.
class AgeClock {
public:
    /// Goes on from `age_ms`, Unix milliseconds, which was its time when it ended.
    void begin(std::int64_t age_ms, std::int64_t steady_ms) noexcept {
        begin_ms_ = age_ms;
        begin_steady_ms_ = steady_ms;
    }

    /// Not above `now_ms`.
    std::int64_t at(const DatabaseClock::Reading& reading) const noexcept {
        const std::int64_t passed = reading.steady_ms - begin_steady_ms_;
        return std::min(reading.now_ms, begin_ms_ + passed + passed / 16);
    }

private:
    std::int64_t begin_ms_ = 0;
    std::int64_t begin_steady_ms_ = 0;
};

}  // namespace karma
