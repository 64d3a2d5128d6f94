#include "persist/database_clock.h"

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <utility>

namespace karma {
namespace {

std::int64_t machine_unix_ms() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

/// Goes on while the machine sleeps, so that waking up is no step.
std::int64_t machine_steady_ms() {
    std::timespec now{};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    return static_cast<std::int64_t>(now.tv_sec) * 1'000 + now.tv_nsec / 1'000'000;
}

DatabaseClock::Reader or_else(const DatabaseClock::Reader& first, const DatabaseClock::Reader& second,
                              std::int64_t (*machine)()) {
    if (first) {
        return first;
    }
    return second ? second : DatabaseClock::Reader(machine);
}

std::string seconds_text(std::int64_t ms) {
    return std::to_string(std::abs(ms) / 1'000) + " s " + (ms < 0 ? "back" : "ahead");
}

}  // namespace

DatabaseClock::DatabaseClock(const Reader& unix_ms, const Reader& steady_ms)
    : unix_ms_(or_else(unix_ms, nullptr, machine_unix_ms)),
      steady_ms_(or_else(steady_ms, unix_ms, machine_steady_ms)),
      offset_ms_(unix_ms_() - steady_ms_()) {}

DatabaseClock::Reading DatabaseClock::read() {
    const std::int64_t steady = steady_ms_();
    const std::int64_t unix_now = unix_ms_();
    const std::int64_t off = unix_now - steady - offset_ms_.load(std::memory_order_relaxed);
    if (off > tolerated_ms || off < -tolerated_ms) {
        return {during_step(steady, unix_now), steady};
    }
    if (is_stepping_.load(std::memory_order_relaxed)) {
        end_step();
    }
    return {unix_now, steady};
}

std::int64_t DatabaseClock::during_step(std::int64_t steady, std::int64_t unix_now) {
    const std::lock_guard lock(mutex_);
    const std::int64_t offset = offset_ms_.load(std::memory_order_relaxed);
    const std::int64_t by = unix_now - steady - offset;
    if (!is_stepping_.load(std::memory_order_relaxed) || std::abs(by - step_.by_ms) > tolerated_ms) {
        is_stepping_.store(true, std::memory_order_relaxed);
        step_ = {steady, by};
        steps_.fetch_add(1, std::memory_order_relaxed);
        messages_.push_back("the system clock stepped " + seconds_text(by) +
                            ": unless it is put back, the step counts in " +
                            std::to_string(confirmed_after_ms / 1'000) +
                            " s; until then events have the time that has passed");
    } else if (steady - step_.since_ms >= confirmed_after_ms) {
        is_stepping_.store(false, std::memory_order_relaxed);
        offset_ms_.store(unix_now - steady, std::memory_order_relaxed);
        messages_.push_back("the system clock has stayed " + seconds_text(by) +
                            ": events have its time from now on" +
                            (by < 0 ? ", once it has passed that of the last event" : ""));
        return unix_now;
    }
    return steady + offset;
}

void DatabaseClock::end_step() {
    const std::lock_guard lock(mutex_);
    if (is_stepping_.exchange(false, std::memory_order_relaxed)) {
        messages_.emplace_back("the system clock was put right again: the step did not count");
    }
}

std::vector<std::string> DatabaseClock::follow() {
    const Reading reading = read();
    const std::lock_guard lock(mutex_);
    if (!is_stepping_.load(std::memory_order_relaxed)) {
        offset_ms_.store(reading.now_ms - reading.steady_ms, std::memory_order_relaxed);
    }
    return std::exchange(messages_, {});
}

}  // namespace karma
