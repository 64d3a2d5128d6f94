#pragma once

#include <cstdint>
#include <limits>
#include <string_view>

// Values that many tests use, where it does not matter which.
namespace karma::test {

// The greatest key and the greatest value: 2^64-1.
inline constexpr std::uint64_t largest = std::numeric_limits<std::uint64_t>::max();

// A day as the engine counts them (2025-11-21), and one as protocol v2 writes them.
inline constexpr std::uint32_t some_day = 739'575;
inline constexpr std::uint32_t some_bucket = 20260505;

inline bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

}  // namespace karma::test
