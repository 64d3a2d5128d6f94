#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "perf/measure/histogram.h"
#include "tests/support/settings.h"

namespace karma::perf {

TEST_CASE("an empty histogram has zeros") {
    const Histogram histogram;
    CHECK(histogram.count() == 0);
    CHECK(histogram.max() == 0);
    CHECK(histogram.mean() == 0);
    CHECK(histogram.percentile(99) == 0);
}

TEST_CASE("small values are exact") {
    Histogram histogram;
    for (std::uint64_t value = 1; value <= 100; ++value) histogram.record(value);
    CHECK(histogram.count() == 100);
    CHECK(histogram.mean() == 50.5);
    CHECK(histogram.percentile(0) == 1);
    CHECK(histogram.percentile(50) == 50);
    CHECK(histogram.percentile(90) == 90);
    CHECK(histogram.percentile(99) == 99);
    CHECK(histogram.percentile(99.5) == 100);
    CHECK(histogram.percentile(100) == 100);
}

TEST_CASE("the ends of the 64-bit range and of each power of two are within 1/128") {
    for (unsigned power = 0; power < 64; ++power) {
        const std::uint64_t begin = std::uint64_t{1} << power;
        for (const std::uint64_t value : {begin - 1, begin, begin + begin / 2, begin + (begin - 1)}) {
            CAPTURE(value);
            Histogram histogram;
            histogram.record(value);
            histogram.record(std::numeric_limits<std::uint64_t>::max());
            const std::uint64_t found = histogram.percentile(50);
            CHECK(found >= value);
            CHECK(found - value <= value / 128);
        }
    }
}

TEST_CASE("percentiles agree with those of the sorted values") {
    std::mt19937_64 engine = karma::test::random_engine("histogram");
    std::vector<std::uint64_t> values;
    Histogram histogram;
    for (int i = 0; i < 20'000; ++i) {
        values.push_back(engine() >> karma::test::random_between(engine, 20, 63));
        histogram.record(values.back());
    }
    std::sort(values.begin(), values.end());
    CHECK(histogram.max() == values.back());
    for (const double percent : {0.0, 10.0, 50.0, 90.0, 99.0, 99.9, 100.0}) {
        CAPTURE(percent);
        const auto rank =
            static_cast<std::size_t>(std::ceil(percent / 100 * static_cast<double>(values.size())));
        const std::uint64_t expected = values[std::max<std::size_t>(rank, 1) - 1];
        const std::uint64_t found = histogram.percentile(percent);
        CHECK(found >= expected);
        CHECK(found - expected <= expected / 128);
    }
}

TEST_CASE("merging is the same as recording into one") {
    Histogram left;
    Histogram right;
    Histogram both;
    for (std::uint64_t i = 0; i < 1000; ++i) {
        (i % 3 == 0 ? left : right).record(i * i);
        both.record(i * i);
    }
    left.merge(right);
    CHECK(left.count() == both.count());
    CHECK(left.max() == both.max());
    CHECK(left.mean() == both.mean());
    for (const double percent : {1.0, 50.0, 99.0})
        CHECK(left.percentile(percent) == both.percentile(percent));
}

}  // namespace karma::perf
