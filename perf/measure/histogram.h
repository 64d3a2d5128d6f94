#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace karma::perf {

// Counts values by size, exactly up to 255 and within 1/128 of the value above that, over the whole 64-bit
// range. Recording costs a few nanoseconds and never allocates. The unit is the caller's (here: nanoseconds).
// Not thread-safe: each thread fills its own, and they are merged.
class Histogram {
public:
    Histogram();

    void record(std::uint64_t value) {
        ++counts_[slot_of(value)];
        ++count_;
        sum_ += value;
        if (value > max_) max_ = value;
    }

    void merge(const Histogram& other);

    std::uint64_t count() const { return count_; }
    // Exact. 0 when nothing was recorded.
    std::uint64_t max() const { return max_; }
    // 0 when nothing was recorded.
    double mean() const;

    // The smallest value that at least `percent` (0 to 100) of the recorded values do not pass, rounded up to
    // the end of its slot but never above max(). 0 when nothing was recorded.
    std::uint64_t percentile(double percent) const;

private:
    static constexpr unsigned slot_bits = 7;
    static constexpr std::size_t slots_per_power = std::size_t{1} << slot_bits;
    static constexpr std::size_t slot_count = (64 - slot_bits - 1) * slots_per_power + 2 * slots_per_power;

    static std::size_t slot_of(std::uint64_t value) {
        if (value < 2 * slots_per_power) return static_cast<std::size_t>(value);
        const auto shift = static_cast<unsigned>(std::bit_width(value)) - slot_bits - 1;
        return shift * slots_per_power + static_cast<std::size_t>(value >> shift);
    }
    static std::uint64_t last_value_of(std::size_t slot);

    std::vector<std::uint64_t> counts_;
    std::uint64_t count_ = 0;
    std::uint64_t sum_ = 0;
    std::uint64_t max_ = 0;
};

}  // namespace karma::perf
