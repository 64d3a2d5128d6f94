#include "perf/measure/histogram.h"

#include <algorithm>
#include <cmath>

namespace karma::perf {

Histogram::Histogram() : counts_(slot_count) {}

void Histogram::merge(const Histogram& other) {
    std::transform(counts_.begin(), counts_.end(), other.counts_.begin(), counts_.begin(),
                   [](std::uint64_t left, std::uint64_t right) { return left + right; });
    count_ += other.count_;
    sum_ += other.sum_;
    max_ = std::max(max_, other.max_);
}

double Histogram::mean() const {
    return count_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(count_);
}

std::uint64_t Histogram::percentile(double percent) const {
    if (count_ == 0) return 0;
    const double wanted = std::ceil(std::clamp(percent, 0.0, 100.0) / 100.0 * static_cast<double>(count_));
    const auto rank = std::clamp(static_cast<std::uint64_t>(wanted), std::uint64_t{1}, count_);
    std::uint64_t seen = 0;
    for (std::size_t slot = 0; slot < counts_.size(); ++slot) {
        seen += counts_[slot];
        if (seen >= rank) return std::min(last_value_of(slot), max_);
    }
    return max_;
}

std::uint64_t Histogram::last_value_of(std::size_t slot) {
    if (slot < 2 * slots_per_power) return slot;
    const std::size_t shift = slot / slots_per_power - 1;
    const std::uint64_t leading = slot - shift * slots_per_power;
    // In this order the last slot of all gives 2^64-1.
    return (leading << shift) + ((std::uint64_t{1} << shift) - 1);
}

}  // namespace karma::perf
