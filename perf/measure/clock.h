#pragma once

#include <chrono>
#include <cstdint>

namespace karma::perf {

// Nanoseconds of the monotonic clock; only differences mean something.
inline std::uint64_t now_ns() {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                          std::chrono::steady_clock::now().time_since_epoch())
                                          .count());
}

// For durations given in seconds by the user, which are not negative.
inline std::uint64_t seconds_to_ns(double seconds) { return static_cast<std::uint64_t>(seconds * 1e9); }

}  // namespace karma::perf
