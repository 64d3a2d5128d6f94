#pragma once

#include <cstdint>

namespace karma::perf {

// SplitMix64: a few nanoseconds a draw, and any seed is a good one. Not for secrets.
class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed) {}

    std::uint64_t next() {
        state_ += 0x9E3779B97F4A7C15U;
        std::uint64_t mixed = state_;
        mixed = (mixed ^ (mixed >> 30U)) * 0xBF58476D1CE4E5B9U;
        mixed = (mixed ^ (mixed >> 27U)) * 0x94D049BB133111EBU;
        return mixed ^ (mixed >> 31U);
    }

    // Uniform in [0, bound), as nearly as matters here. bound > 0.
    std::uint32_t below(std::uint32_t bound) { return scale(next(), bound); }

    // The upper 32 bits of a draw, scaled to [0, bound).
    static std::uint32_t scale(std::uint64_t draw, std::uint32_t bound) {
        return static_cast<std::uint32_t>(((draw >> 32U) * bound) >> 32U);
    }

private:
    std::uint64_t state_;
};

}  // namespace karma::perf
