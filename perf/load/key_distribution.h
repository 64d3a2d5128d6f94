#pragma once

#include <cstdint>
#include <vector>

#include "perf/load/random.h"

namespace karma::perf {

// Which of the keys 0 … keys-1 a request is about. Immutable once made: threads may share one.
class KeyDistribution {
public:
    // Every key equally often. keys >= 1.
    static KeyDistribution uniform(std::uint32_t keys);

    // The key of rank r (from 1) in proportion to r^-skew; which key has which rank is shuffled by the seed,
    // so that the hot ones are not neighbours. keys >= 1, skew >= 0. Takes 8 bytes a key.
    static KeyDistribution zipf(std::uint32_t keys, double skew, std::uint64_t seed);

    std::uint32_t draw(Random& random) const {
        const std::uint64_t bits = random.next();
        const std::uint32_t column = Random::scale(bits, keys_);
        if (cells_.empty()) return column;
        const Cell& cell = cells_[column];
        return static_cast<std::uint32_t>(bits) < cell.threshold ? column : cell.other;
    }

private:
    // Walker's alias method: a column is chosen evenly, and then is either itself or its one other key.
    struct Cell {
        std::uint32_t threshold;  // of 2^32: how often the column is itself
        std::uint32_t other;
    };

    explicit KeyDistribution(std::uint32_t keys) : keys_(keys) {}

    std::uint32_t keys_;
    std::vector<Cell> cells_;  // empty: uniform
};

}  // namespace karma::perf
