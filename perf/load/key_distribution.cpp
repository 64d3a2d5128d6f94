#include "perf/load/key_distribution.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace karma::perf {

namespace {

// Weights that add up to their number, in shuffled order.
std::vector<double> zipf_weights(std::uint32_t keys, double skew, std::uint64_t seed) {
    std::vector<double> weights(keys);
    for (std::uint32_t rank = 0; rank < keys; ++rank) weights[rank] = std::pow(rank + 1.0, -skew);
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    for (double& weight : weights) weight *= keys / sum;
    Random random(seed);
    for (std::uint32_t left = keys; left > 1; --left)
        std::swap(weights[left - 1], weights[random.below(left)]);
    return weights;
}

}  // namespace

KeyDistribution KeyDistribution::uniform(std::uint32_t keys) { return KeyDistribution(keys); }

KeyDistribution KeyDistribution::zipf(std::uint32_t keys, double skew, std::uint64_t seed) {
    constexpr std::uint32_t always = std::numeric_limits<std::uint32_t>::max();
    std::vector<double> weights = zipf_weights(keys, skew, seed);
    KeyDistribution result(keys);
    result.cells_.resize(keys);
    std::vector<std::uint32_t> small;
    std::vector<std::uint32_t> large;
    for (std::uint32_t key = 0; key < keys; ++key) {
        result.cells_[key] = {always, key};
        (weights[key] < 1 ? small : large).push_back(key);
    }
    // Each small key's column is filled up by a large one, which may become small by that.
    while (!small.empty() && !large.empty()) {
        const std::uint32_t filled = small.back();
        const std::uint32_t giver = large.back();
        small.pop_back();
        result.cells_[filled] = {static_cast<std::uint32_t>(weights[filled] * 4294967296.0), giver};
        weights[giver] -= 1 - weights[filled];
        if (weights[giver] < 1) {
            large.pop_back();
            small.push_back(giver);
        }
    }
    return result;  // what is left in one of the lists is 1 but for rounding
}

}  // namespace karma::perf
