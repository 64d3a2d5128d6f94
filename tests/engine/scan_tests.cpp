#include <algorithm>
#include <limits>
#include <map>
#include <vector>

#include <doctest/doctest.h>

#include "engine/error.h"
#include "engine/scan.h"
#include "tests/engine/model.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

class Expired final : public Deadline {
protected:
    bool expired() const override { return true; }
};

struct Change {
    std::uint64_t key = 0;
    Day day = 0;
    std::uint64_t value = 0;
};

std::vector<Change> random_changes(std::mt19937_64& engine, std::size_t count) {
    std::vector<Change> changes;
    for (std::size_t i = 0; i < count; ++i) {
        changes.push_back({random_between(engine, 0, 3'000),
                           static_cast<Day>(random_between(engine, 739'000, 739'400)),
                           random_between(engine, 1, 300)});
    }
    return changes;
}

Series made_of(const std::vector<Change>& changes, std::uint64_t seed, const std::string& name = "s") {
    Series series(name, seed);
    for (const Change& change : changes) {
        series.add(change.key, change.day, change.value);
    }
    return series;
}

}  // namespace

TEST_CASE("scan: totals reach from the first day of the calendar to the last, and past 2^64") {
    constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
    const Series series = made_of({{1, 0, most}, {2, 0, most}, {3, 511, 7}, {3, 512, 8}, {4, max_day, 9}}, 3);
    CHECK(scan_totals(series.view(), DayRange{}, NoDeadline()) ==
          std::vector<DayTotal>{{0, Uint128{most} * 2}, {511, 7}, {512, 8}, {max_day, 9}});
    CHECK(scan_totals(series.view(), DayRange{513, max_day - 1}, NoDeadline()).empty());
}

TEST_CASE("scan: summary, top and keys agree with the plain computation") {
    std::mt19937_64 engine = test::random_engine("scan");
    const Series series = made_of(random_changes(engine, 20'000), 3);
    const test::Model::Keys model = test::contents(series.view());
    const DayRange range{739'100, 739'150};
    Summary expected;
    std::vector<KeyValue> values;
    for (const auto& [key, buckets] : model) {
        std::uint64_t value = 0;
        for (const auto& [day, count] : buckets) {
            if (day >= range.from && day <= range.to) {
                value += count;
                ++expected.buckets;
            }
        }
        expected.total += value;
        expected.active_keys += value != 0 ? 1U : 0U;
        if (value != 0) {
            values.push_back({key, value});
        }
    }
    std::ranges::sort(values, [](const KeyValue& a, const KeyValue& b) {
        return a.value != b.value ? a.value > b.value : a.key < b.key;
    });
    const Summary found = scan_summary(series.view(), range, NoDeadline());
    CHECK(found.total == expected.total);
    CHECK(found.active_keys == expected.active_keys);
    CHECK(found.buckets == expected.buckets);
    values.resize(100);
    std::map<Day, Uint128> sums;
    for (const auto& [key, buckets] : model) {
        for (const auto& [day, count] : buckets) {
            if (day >= range.from && day <= range.to) {
                sums[day] += count;
            }
        }
    }
    std::vector<DayTotal> totals;
    for (const auto& [day, total] : sums) {
        totals.push_back({day, total});
    }
    CHECK(scan_totals(series.view(), range, NoDeadline()) == totals);
    CHECK(scan_top(series.view(), 100, range, NoDeadline()) == values);
    CHECK(scan_top(series.view(), 1'000'000, std::nullopt, NoDeadline()).size() == model.size());

    std::optional<std::uint64_t> cursor;
    std::vector<std::uint64_t> listed;
    for (;;) {
        const KeyPage page = scan_keys(series.view(), 70, cursor, NoDeadline());
        for (const KeyValue& entry : page.keys) {
            listed.push_back(entry.key);
            REQUIRE(entry.value == test::Model::total(model.at(entry.key)));
        }
        if (!page.next_cursor) {
            break;
        }
        cursor = page.next_cursor;
    }
    CHECK(listed == scan_all_keys(series.view(), NoDeadline()));
    CHECK(listed.size() == model.size());
    CHECK_FALSE(scan_keys(series.view(), model.size(), std::nullopt, NoDeadline()).next_cursor.has_value());
}

TEST_CASE("digest: the same for the same contents, whatever the way there") {
    std::mt19937_64 engine = test::random_engine("digest");
    std::vector<Change> changes = random_changes(engine, 5'000);
    const Digest digest = scan_digest(made_of(changes, 1).view(), NoDeadline());
    std::shuffle(changes.begin(), changes.end(), engine);
    Series other = made_of(changes, 987'654'321);
    CHECK(scan_digest(other.view(), NoDeadline()) == digest);
    other.add(1, 739'000, 1);
    CHECK_FALSE(scan_digest(other.view(), NoDeadline()) == digest);
    other.subtract(1, 739'000, 1);
    const bool had_key = std::ranges::any_of(changes, [](const Change& change) { return change.key == 1; });
    CHECK((scan_digest(other.view(), NoDeadline()) == digest) == had_key);
    other = made_of(changes, 1);
    other.add(999'999, 739'000, 1);
    other.subtract(999'999, 739'000, 1);  // leaves an empty key, which is listed
    CHECK_FALSE(scan_digest(other.view(), NoDeadline()) == digest);
    other.drop_empty_keys();
    CHECK(scan_digest(other.view(), NoDeadline()) == digest);
    CHECK_FALSE(scan_digest(made_of(changes, 1, "t").view(), NoDeadline()) == digest);
}

TEST_CASE("scan: ends with query_timeout when time is up") {
    std::mt19937_64 engine = test::random_engine("deadline");
    const Series series = made_of(random_changes(engine, 100), 3);
    for (const auto& scan : {+[](const SeriesView& v) { scan_summary(v, DayRange{}, Expired()); },
                             +[](const SeriesView& v) { scan_top(v, 1, std::nullopt, Expired()); },
                             +[](const SeriesView& v) { scan_totals(v, DayRange{}, Expired()); },
                             +[](const SeriesView& v) { scan_keys(v, 1, std::nullopt, Expired()); },
                             +[](const SeriesView& v) { scan_all_keys(v, Expired()); }}) {
        try {
            scan(series.view());
            FAIL("went on");
        } catch (const RequestError& refused) {
            CHECK(refused.code() == ErrorCode::query_timeout);
        }
    }
}

}  // namespace karma::test
