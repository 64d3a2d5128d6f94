#include <atomic>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "engine/error.h"
#include "engine/event_codec.h"
#include "engine/timestamp.h"
#include "persist/database.h"
#include "persist/log_search.h"
#include "persist/memory_storage.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

/// What a series held, and when.
struct Moment {
    std::int64_t time_ms = 0;
    std::map<std::string, std::map<std::uint64_t, std::uint64_t>> series;
};

class HistoryFixture {
public:
    HistoryFixture() {
        options_.clock_ms = [this] { return now_ms_.load(); };
        options_.snapshot_interval_s = 0;  // the clock is moved by hours
        options_.event_retention_s = 0;
        options_.wal_batch_size = 3;
        open();
        moments_.push_back({0, {}});
    }

    void open() {
        database_.reset();
        database_ = Database::open(options_, storage_);
    }
    Database& database() { return *database_; }
    std::atomic<std::int64_t>& now_ms() { return now_ms_; }

    template <typename Change>
    void change(const Mutation& body, Change&& change) {
        now_ms_ += 10;
        const Reply reply = database_->call(body);
        REQUIRE(!std::holds_alternative<Error>(reply));
        Moment next = moments_.back();
        next.time_ms = now_ms_;
        change(next.series);
        moments_.push_back(std::move(next));
        REQUIRE(database_->last_lsn() == moments_.size() - 1);
    }

    const std::vector<Moment>& moments() const { return moments_; }

private:
    MemoryStorage storage_;
    DatabaseOptions options_;
    std::atomic<std::int64_t> now_ms_ = 1'777'000'000'000;  // the housekeeper reads it too
    std::unique_ptr<Database> database_;
    std::vector<Moment> moments_;  // by LSN
};

void check_moment(Database& database, const Moment& moment, const HistoryPoint& point) {
    for (const std::string name : {"a", "b"}) {
        const auto series = moment.series.find(name);
        const Reply reply = database.call(query::SeriesSummary{name, {}, point});
        if (series == moment.series.end()) {
            REQUIRE(std::get<Error>(reply).code == ErrorCode::not_found);
            continue;
        }
        std::uint64_t total = 0;
        for (const auto& [key, value] : series->second) {
            total += value;
            query::Sum sum{name, key, DayRange{some_day, some_day}, point};
            REQUIRE(std::get<reply::Number>(database.call(sum)).value == value);
        }
        REQUIRE(std::get<reply::SummaryOf>(reply).summary.total == total);
        const std::vector<std::uint64_t> keys = {1, 2};
        const Reply sums = database.call(query::BatchSum{name, keys, {}, point});
        REQUIRE(std::get<reply::Sums>(sums).items.size() == 2);
        const Reply top = database.call(query::SeriesTop{name, 1, DayRange{some_day, some_day}, point});
        REQUIRE(std::get<reply::Top>(top).items.size() <= 1);
        const Reply totals = database.call(query::BucketTotals{name, DayRange{}, point});
        std::uint64_t of_all_days = 0;
        for (const DayTotal& bucket : std::get<reply::BucketTotals>(totals).totals) {
            of_all_days += static_cast<std::uint64_t>(bucket.total);
        }
        REQUIRE(of_all_days == total);
        const Reply points = database.call(query::Points{name, 1, DayRange{some_day, some_day}, point});
        const auto one = series->second.find(1);
        const bool has_value = one != series->second.end() && one->second != 0;
        REQUIRE(std::get<reply::PointList>(points).points.size() == (has_value ? 1 : 0));
    }
}

}  // namespace

TEST_CASE("history: the last days end at the time that is asked about, or else today") {
    constexpr std::int64_t day_ms = 86'400'000;
    HistoryFixture fixture;
    Database& database = fixture.database();
    const std::int64_t first_ms = fixture.now_ms();
    for (int day = 0; day < 5; ++day) {
        fixture.now_ms() = first_ms + day * day_ms;
        database.increment("a", 1, std::uint64_t{1} << day);
    }
    const auto sum = [&](const Period& period, const std::optional<HistoryPoint>& point) {
        const Reply reply = database.call(query::Sum{"a", 1, period, point});
        return std::get<reply::Number>(reply).value;
    };
    CHECK(sum(Period::last(2), std::nullopt) == 0b11000);
    CHECK(sum(Period::last(2), HistoryPoint::at_time(first_ms + 2 * day_ms)) == 0b00110);
    CHECK(sum(Period::last(2), HistoryPoint::at_lsn(3)) == 0);  // of the days that it had then
    CHECK(sum(Period::last(3), HistoryPoint::at_lsn(3)) == 0b00100);
    CHECK(sum(Period::last(2), HistoryPoint::at_lsn(database.last_lsn())) == 0b11000);
}

TEST_CASE("history: every point can be asked for, by LSN and by time") {
    std::mt19937_64 engine = test::random_engine("history");
    for (int round = 0; round < 4; ++round) {
        HistoryFixture fixture;
        bool is_streaming = false;
        std::map<std::uint64_t, std::uint64_t> staged;
        std::uint64_t chunk = 0;
        for (int step = 0; step < 80; ++step) {
            const std::string name = random_between(engine, 0, 1) == 0 ? "a" : "b";
            const std::uint64_t key = random_between(engine, 1, 3);
            const std::uint64_t value = random_between(engine, 1, 9);
            const auto& now = fixture.moments().back().series;
            switch (random_between(engine, 0, 9)) {
                case 0:
                    if (now.contains(name)) {
                        fixture.change(mutation::DropSeries{name}, [&](auto& all) { all.erase(name); });
                    }
                    break;
                case 1:
                    fixture.change(mutation::ResetSeries{name}, [&](auto& all) {
                        for (auto& entry : all[name]) {
                            entry.second = 0;
                        }
                    });
                    break;
                case 2: fixture.database().save_snapshot(); break;
                case 3: fixture.database().call(control::SaveSnapshot{name}); break;
                case 4:
                    if (!is_streaming) {
                        staged.clear();
                        chunk = 0;
                        fixture.change(mutation::BeginStream{"s", IngestMode::replace_series, {}},
                                       [](auto&) {});
                        is_streaming = true;
                    } else if (chunk < 2) {
                        const std::vector<mutation::Item> items = {{key, some_day, value}};
                        fixture.change(mutation::AddChunk{"s", "a", ++chunk, items}, [](auto&) {});
                        staged[key] = value;
                    } else if (chunk == 2) {
                        ++chunk;
                        fixture.change(mutation::CommitStream{"s"}, [&](auto& all) { all["a"] = staged; });
                    }
                    break;
                case 5: fixture.open(); break;
                default:
                    fixture.change(mutation::Increment{name, key, some_day, value},
                                   [&](auto& all) { all[name][key] += value; });
                    break;
            }
        }
        const std::vector<Moment>& moments = fixture.moments();
        fixture.now_ms() += 1'000;
        for (std::size_t lsn = 0; lsn < moments.size(); ++lsn) {
            check_moment(fixture.database(), moments[lsn], HistoryPoint::at_lsn(lsn));
            if (lsn != 0) {
                check_moment(fixture.database(), moments[lsn], HistoryPoint::at_time(moments[lsn].time_ms));
                check_moment(fixture.database(), moments[lsn],
                             HistoryPoint::at_time(moments[lsn].time_ms + 9));
            }
        }
    }
}

TEST_CASE("history: the future cannot be asked for") {
    HistoryFixture fixture;
    fixture.change(mutation::Increment{"a", 1, some_day, 1}, [](auto&) {});
    for (const HistoryPoint& point : {HistoryPoint::at_lsn(2), HistoryPoint::at_lsn(largest),
                                      HistoryPoint::at_time(fixture.now_ms() + 1)}) {
        const Reply reply = fixture.database().call(query::Sum{"a", 1, {}, point});
        CHECK(std::get<Error>(reply).code == ErrorCode::validation_error);
        CHECK(std::get<Error>(reply).message.find("as_of") != std::string::npos);
    }
}

TEST_CASE("history: a day that has begun is asked for up to now, a later one is in the future") {
    HistoryFixture fixture;
    fixture.change(mutation::Increment{"a", 1, some_day, 1}, [](auto&) {});
    fixture.now_ms() += 10'000;
    fixture.change(mutation::Increment{"a", 1, some_day, 1}, [](auto&) {});
    const auto sum_at = [&](const std::string& text) {
        const std::optional<HistoryPoint> point = history_point_from_text(text);
        REQUIRE(point.has_value());
        return fixture.database().call(query::Sum{"a", 1, {}, point});
    };
    const std::string today = rfc3339_from_unix_ms(fixture.now_ms()).substr(0, 10);
    const std::string tomorrow = rfc3339_from_unix_ms(fixture.now_ms() + 86'400'000).substr(0, 10);
    const std::string yesterday = rfc3339_from_unix_ms(fixture.now_ms() - 86'400'000).substr(0, 10);
    CHECK(std::get<reply::Number>(sum_at(today)).value == 2);
    CHECK(std::get<Error>(sum_at(yesterday)).code == ErrorCode::not_found);
    CHECK(std::get<Error>(sum_at(tomorrow)).code == ErrorCode::validation_error);
    fixture.now_ms() += 86'400'000;
    fixture.change(mutation::Increment{"a", 1, some_day, 1}, [](auto&) {});
    CHECK(std::get<reply::Number>(sum_at(today)).value == 2);
    CHECK(std::get<reply::Number>(sum_at(tomorrow)).value == 3);
}

TEST_CASE("history: without a log only what snapshots hold can be asked for") {
    MemoryStorage storage;
    DatabaseOptions options;
    options.wal = false;
    const auto database = Database::open(options, storage);
    database->increment("a", 1, 1, some_day);
    database->save_snapshot();
    database->increment("a", 1, 1, some_day);
    database->increment("a", 1, 1, some_day);
    const auto ask = [&](Lsn lsn) {
        return database->call(query::Sum{"a", 1, {}, HistoryPoint::at_lsn(lsn)});
    };
    CHECK(std::get<reply::Number>(ask(1)).value == 1);
    CHECK(std::get<Error>(ask(2)).code == ErrorCode::replication_gap);
    CHECK(std::get<reply::Number>(ask(3)).value == 3);
}

TEST_CASE("events: pages, filters and times") {
    HistoryFixture fixture;
    const std::int64_t begin_ms = fixture.now_ms();
    const std::vector<mutation::Item> items = {{7, some_day, 1}, {8, some_day, 2}};
    for (int i = 0; i < 10; ++i) {
        fixture.change(mutation::Increment{"a", static_cast<std::uint64_t>(i % 3), some_day, 1},
                       [](auto&) {});
        fixture.change(mutation::BatchAdd{"b", items}, [](auto&) {});
    }
    fixture.change(mutation::CompactAll{}, [](auto&) {});
    const auto ask = [&](const query::Events& query) {
        return std::get<reply::Events>(fixture.database().call(query));
    };
    const auto count = [](const reply::Events& found) { return found.found.events().size(); };
    query::Events query;
    CHECK(count(ask(query)) == 21);
    CHECK(ask(query).complete);
    CHECK(ask(query).first_lsn == 1);
    query.series = "a";
    CHECK(count(ask(query)) == 11);
    query.key = 0;
    CHECK(count(ask(query)) == 5);
    query.series = "b";
    query.key = 8;
    CHECK(count(ask(query)) == 11);
    query.key = 9;
    CHECK(count(ask(query)) == 1);  // system.compact concerns all keys
    query = {};
    query.from_ms = begin_ms + 30;
    query.to_ms = begin_ms + 50;
    CHECK(count(ask(query)) == 3);
    CHECK(ask(query).complete);
    query = {};
    query.after_lsn = 19;
    CHECK(count(ask(query)) == 2);
    query.after_lsn = 21;
    CHECK(count(ask(query)) == 0);
    CHECK(ask(query).complete);
    // However many an event group holds, one more than the limit shows that there are more.
    query = {};
    query.limit = 1;
    CHECK(count(ask(query)) <= 2);
    // Page by page everything is seen once.
    std::size_t pages = 0;
    for (query.after_lsn = 0; true; ++pages) {
        const reply::Events found = ask(query);
        if (found.complete) {
            break;
        }
        REQUIRE(found.searched_lsn > *query.after_lsn);
        query.after_lsn = found.searched_lsn;
    }
    CHECK(pages >= 6);
}

TEST_CASE("events: those that are not kept any more are a gap") {
    MemoryStorage storage;
    std::atomic<std::int64_t> now_ms = 1'777'000'000'000;
    DatabaseOptions options;
    options.clock_ms = [&] { return now_ms.load(); };
    options.snapshot_interval_s = 0;  // the clock is moved by hours
    options.event_retention_s = 60;
    const auto database = Database::open(options, storage);
    for (int i = 0; i < 10; ++i) {
        now_ms += 20'000;
        database->increment("a", 1, 1, some_day);
        database->save_snapshot();
    }
    database->apply_retention();
    const Lsn first = first_kept_lsn(storage);
    REQUIRE(first > 2);
    query::Events query;
    query.after_lsn = first - 2;
    CHECK(std::get<Error>(database->call(query)).code == ErrorCode::replication_gap);
    query.after_lsn = first - 1;
    CHECK(std::get<reply::Events>(database->call(query)).complete);
    query.after_lsn.reset();
    CHECK(std::get<reply::Events>(database->call(query)).after_lsn == first - 1);
}

}  // namespace karma::test
