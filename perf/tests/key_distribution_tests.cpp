#include <algorithm>
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include "perf/load/key_distribution.h"
#include "tests/support/settings.h"

namespace karma::perf {

namespace {

// How often each key came, in all draws; the largest first.
std::vector<double> sorted_shares(const KeyDistribution& distribution, std::uint32_t keys,
                                  std::uint32_t draws) {
    Random random(karma::test::test_seed());
    std::vector<double> shares(keys);
    for (std::uint32_t i = 0; i < draws; ++i) {
        const std::uint32_t key = distribution.draw(random);
        REQUIRE(key < keys);
        shares[key] += 1.0 / draws;
    }
    std::sort(shares.rbegin(), shares.rend());
    return shares;
}

// Six standard deviations of the share that a key with this probability gets.
double tolerance(double probability, std::uint32_t draws) {
    return 6 * std::sqrt(probability * (1 - probability) / draws);
}

}  // namespace

TEST_CASE("uniform keys come equally often, each of them") {
    constexpr std::uint32_t keys = 50;
    constexpr std::uint32_t draws = 500'000;
    const std::vector<double> shares = sorted_shares(KeyDistribution::uniform(keys), keys, draws);
    CHECK(std::abs(shares.front() - 1.0 / keys) < tolerance(1.0 / keys, draws));
    CHECK(std::abs(shares.back() - 1.0 / keys) < tolerance(1.0 / keys, draws));
}

TEST_CASE("zipf keys come in proportion to a power of their rank") {
    constexpr std::uint32_t keys = 20;
    constexpr std::uint32_t draws = 1'000'000;
    for (const double skew : {0.0, 0.5, 0.99, 2.0}) {
        CAPTURE(skew);
        const std::vector<double> shares = sorted_shares(KeyDistribution::zipf(keys, skew, 7), keys, draws);
        double sum = 0;
        for (std::uint32_t rank = 1; rank <= keys; ++rank) sum += std::pow(rank, -skew);
        for (std::uint32_t rank = 1; rank <= keys; ++rank) {
            CAPTURE(rank);
            const double probability = std::pow(rank, -skew) / sum;
            CHECK(std::abs(shares[rank - 1] - probability) < tolerance(probability, draws));
        }
    }
}

TEST_CASE("the seed says which keys are the hot ones") {
    const auto hottest = [](std::uint64_t seed) {
        const KeyDistribution distribution = KeyDistribution::zipf(1000, 3, seed);
        std::vector<int> counts(1000);
        Random random(1);
        for (int i = 0; i < 1000; ++i) ++counts[distribution.draw(random)];
        return std::max_element(counts.begin(), counts.end()) - counts.begin();
    };
    CHECK(hottest(1) == hottest(1));
    CHECK(hottest(1) != hottest(2));
}

TEST_CASE("one key is always that key") {
    Random random(1);
    CHECK(KeyDistribution::uniform(1).draw(random) == 0);
    CHECK(KeyDistribution::zipf(1, 0.99, 1).draw(random) == 0);
}

}  // namespace karma::perf
