// A database whose clock steps.
#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "engine/event_codec.h"
#include "persist/database.h"
#include "persist/database_clock.h"
#include "persist/log_search.h"
#include "persist/memory_storage.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

constexpr std::int64_t second = 1'000;
constexpr std::int64_t day = 86'400 * second;

/// Time passes on both clocks; only one of them steps.
struct Clocks {
    std::atomic<std::int64_t> unix_ms{1'780'000'000'000};
    std::atomic<std::int64_t> steady_ms{5'000};

    void pass(std::int64_t ms) {
        unix_ms += ms;
        steady_ms += ms;
    }
    void step(std::int64_t ms) { unix_ms += ms; }
};

class SteppingDatabase {
public:
    SteppingDatabase() {
        options.clock_ms = [this] { return clocks.unix_ms.load(); };
        options.snapshot_interval_s = 0;  // the clock is moved by hours
        options.steady_ms = [this] { return clocks.steady_ms.load(); };
        options.threads = false;
        options.event_retention_s = 0;
        options.on_warning = [this](const std::string& event, const std::string&) {
            warnings.push_back(event);
        };
    }

    void open() {
        database.reset();
        database = Database::open(options, *storage);
    }

    /// Nothing is written any more, as it would be at an end.
    void crash_and_open() {
        auto as_it_was = std::make_unique<MemoryStorage>(*storage);
        database.reset();
        storage = std::move(as_it_was);
        open();
    }

    void add(std::uint64_t value) { database->increment("s", 1, value, some_day); }

    bool counts(std::string_view key) {
        const Mutation body = mutation::Increment{"s", 1, some_day, 1};
        const Request request = KeyedMutation{&body, key, ""};
        Outcome outcome;
        database->execute(std::span(&request, 1), std::span(&outcome, 1));
        database->commit();
        REQUIRE(std::holds_alternative<Reply>(outcome.result));
        return outcome.deduplication == Deduplication::first;
    }

    std::uint64_t sum_as_of(std::int64_t time_ms) {
        const Reply reply = database->call(query::Sum{"s", 1, {}, HistoryPoint::at_time(time_ms)});
        REQUIRE(std::holds_alternative<reply::Number>(reply));
        return std::get<reply::Number>(reply).value;
    }

    std::vector<std::int64_t> event_times() const {
        std::vector<std::int64_t> times;
        storage->read_log(0, [&](const EventGroup& group) {
            read_event_group(group.bytes, [&](const Event& event) { times.push_back(event.time_ms); });
            return true;
        });
        return times;
    }

    /// A minute of background maintenance.
    void run_minute() {
        for (int i = 0; i < 60; ++i) {
            clocks.pass(second);
            database->maintain();
        }
    }

    Clocks clocks;
    std::unique_ptr<MemoryStorage> storage = std::make_unique<MemoryStorage>();
    DatabaseOptions options;
    std::vector<std::string> warnings;
    std::unique_ptr<Database> database;
};

void append_event(Storage& storage, std::int64_t time_ms, std::uint64_t value) {
    EventGroupBuilder builder;
    const Lsn lsn = storage.next_lsn();
    builder.add({lsn, time_ms, fact::Increment{"s", 1, some_day, value}});
    std::string bytes;
    builder.finish(bytes);
    storage.append({lsn, 1, bytes}, {}, true);
}

reply::Events events_until(const Storage& storage, std::int64_t to_ms) {
    EventFilter filter;
    filter.to_ms = to_ms;
    return std::get<reply::Events>(
        search_events(storage, filter, std::nullopt, 100, storage.next_lsn() - 1, NoDeadline()));
}

std::size_t matches(const reply::Events& found) { return found.found.events().size(); }

}  // namespace

TEST_CASE("clock: a step for a moment hides nothing") {
    for (const std::int64_t by : {day, -day}) {
        SteppingDatabase test;
        test.open();
        test.add(10);
        test.clocks.pass(second);
        test.clocks.step(by);
        test.add(1);
        test.clocks.pass(second);
        test.clocks.step(-by);
        test.add(100);
        test.clocks.pass(second);
        test.add(1'000);
        CHECK(test.sum_as_of(test.clocks.unix_ms) == 1'111);
        CHECK(test.sum_as_of(test.clocks.unix_ms - 3 * second) == 10);
        const reply::Events found = events_until(*test.storage, test.clocks.unix_ms);
        CHECK(found.complete);
        CHECK(matches(found) == 4);
        CHECK(test.database->now_ms() == test.clocks.unix_ms);
    }
}

TEST_CASE("clock: steps are counted, and told of once") {
    SteppingDatabase test;
    test.open();
    const auto steps = [&] {
        const Reply reply = test.database->call(query::Metrics{});
        for (const Metric& metric : std::get<reply::MetricsText>(reply).metrics) {
            if (metric.metric != nullptr && metric.metric == std::string_view("karma_clock_steps_total")) {
                CHECK(metric.stat == std::string_view("clock_step_count"));
                return std::get<std::uint64_t>(metric.value);
            }
        }
        FAIL("there is no metric of steps");
        return std::uint64_t{0};
    };
    test.run_minute();
    CHECK(steps() == 0);
    CHECK(test.warnings.empty());
    test.clocks.step(day);
    test.run_minute();  // it stays, and counts
    CHECK(steps() == 1);
    const std::size_t told = test.warnings.size();
    CHECK(told != 0);
    test.run_minute();
    CHECK(test.warnings.size() == told);
    test.clocks.step(-day);
    test.run_minute();
    CHECK(steps() == 2);
    CHECK(std::ranges::count(test.warnings, "clock_step") ==
          static_cast<std::ptrdiff_t>(test.warnings.size()));
}

TEST_CASE("clock: a step that stays counts, and the times of events never decrease") {
    SteppingDatabase test;
    test.open();
    test.add(1);
    test.clocks.step(day);
    test.run_minute();
    CHECK(test.warnings == std::vector<std::string>{"clock_step", "clock_step"});
    test.add(1);
    CHECK(test.event_times().back() == test.clocks.unix_ms);
    test.clocks.step(-2 * day);
    test.run_minute();
    test.add(1);
    test.open();
    test.clocks.pass(second);
    test.add(1);
    const std::vector<std::int64_t> times = test.event_times();
    CHECK(std::ranges::is_sorted(times));
    CHECK(times[3] == times[1]);
    // The latest is not in the future, though the clock is behind it.
    CHECK(test.sum_as_of(times[3]) == 4);
    CHECK(read_ordered_lsn(*test.storage) == 0);
}

TEST_CASE("clock: a log whose times decrease is answered in full") {
    MemoryStorage storage;
    constexpr std::int64_t begin = 1'780'000'000'000;
    append_event(storage, begin, 10);
    append_event(storage, begin + day, 1);
    append_event(storage, begin + 1, 100);
    append_event(storage, begin + 2, 1'000);
    CHECK(find_ordered_lsn(storage) == 3);
    for (const bool is_known : {false, true}) {
        if (is_known) {
            const RecordChange change = ordered_lsn_change(find_ordered_lsn(storage));
            storage.write(std::span(&change, 1), true);
        }
        CHECK(last_lsn_until_time(storage, begin - 1) == 0);
        CHECK(last_lsn_until_time(storage, begin) == 1);
        CHECK(last_lsn_until_time(storage, begin + 1) == 3);
        CHECK(last_lsn_until_time(storage, begin + 2) == 4);
        CHECK(first_lsn_from_time(storage, begin + 2) == 2);
        CHECK(first_lsn_from_time(storage, begin) == 1);
        const reply::Events found = events_until(storage, begin + 2);
        CHECK(found.complete);
        CHECK(matches(found) == 3);
    }
    DatabaseOptions options;
    options.threads = false;
    options.clock_ms = [] { return begin + 3; };
    options.event_retention_s = 0;
    const auto database = Database::open(options, storage);
    const auto sum = [&](std::int64_t time_ms) {
        return std::get<reply::Number>(database->call(query::Sum{"s", 1, {}, HistoryPoint::at_time(time_ms)}))
            .value;
    };
    CHECK(sum(begin + 2) == 1'111);
    CHECK(sum(begin + 1) == 111);
    CHECK(sum(begin) == 10);
}

TEST_CASE("clock: searches of logs with and without steps agree with reading all") {
    std::mt19937_64 engine = test::random_engine("clock searches");
    for (int round = 0; round < 100; ++round) {
        MemoryStorage storage;
        std::vector<std::int64_t> times;
        std::int64_t now = 1'000;
        const std::uint64_t steps = random_between(engine, 0, 2);
        for (std::uint64_t i = random_between(engine, 1, 40); i > 0; --i) {
            now += static_cast<std::int64_t>(random_between(engine, 0, 3));
            const bool is_off = steps != 0 && random_between(engine, 0, 9) == 0;
            times.push_back(is_off ? now - 20 + static_cast<std::int64_t>(random_between(engine, 0, 40))
                                   : now);
            append_event(storage, times.back(), 1);
        }
        const RecordChange change = ordered_lsn_change(find_ordered_lsn(storage));
        storage.write(std::span(&change, 1), true);
        for (std::int64_t time = 970; time < now + 30; ++time) {
            Lsn last = 0;
            Lsn first = times.size() + 1;
            for (std::size_t i = times.size(); i-- > 0;) {
                last = last == 0 && times[i] <= time ? i + 1 : last;
                first = times[i] >= time ? i + 1 : first;
            }
            CHECK(last_lsn_until_time(storage, time) == last);
            CHECK(first_lsn_from_time(storage, time) <= first);
            CHECK(matches(events_until(storage, time)) ==
                  static_cast<std::size_t>(
                      std::ranges::count_if(times, [&](std::int64_t one) { return one <= time; })));
        }
    }
}

TEST_CASE("clock: intervals go on while it is behind") {
    SteppingDatabase test;
    test.options.snapshot_interval_s = 30;
    test.open();
    test.clocks.step(-day);
    test.add(1);
    test.run_minute();
    const Reply info = test.database->call(query::SnapshotInfo{});
    CHECK(std::get<Boxed<reply::SnapshotInfo>>(info)->last_snapshot_lsn == 1);
    const Reply health = test.database->call(query::Health{});
    CHECK(std::get<reply::Health>(health).uptime_seconds == 60);
}

TEST_CASE("clock: a step ahead expires no idempotency record") {
    SteppingDatabase test;
    test.options.idempotency.age_max_s = 7 * 86'400;
    test.open();
    CHECK(test.counts("k"));
    test.clocks.step(8 * day);
    test.clocks.pass(1'500);
    CHECK(!test.counts("k"));
    test.database->maintain();
    test.clocks.step(-8 * day);
    CHECK(!test.counts("k"));
    // It stays: what has passed is a minute all the same.
    test.clocks.step(8 * day);
    test.run_minute();
    CHECK(test.counts("other"));
    test.run_minute();
    CHECK(!test.counts("k"));
    // Nor does a start at which it is wrong.
    test.open();
    CHECK(!test.counts("k"));
    test.clocks.step(30 * day);
    test.open();
    CHECK(!test.counts("k"));
    CHECK(test.counts("another"));
    test.run_minute();
    CHECK(!test.counts("k"));
    // Nor the events of that time, when they are read back.
    test.open();
    CHECK(!test.counts("k"));
    // And they do expire, when their time has passed.
    for (int i = 0; i < 8 * 24; ++i) {
        test.clocks.pass(day / 24);
        test.database->maintain();
    }
    CHECK(test.counts("k"));
}

TEST_CASE("clock: a crash in the first minute expires no record, whatever time the last event has") {
    SteppingDatabase test;
    test.open();
    CHECK(test.counts("k"));
    test.crash_and_open();
    SUBCASE("started again, it runs for long") { test.run_minute(); }
    SUBCASE("started again, it runs for a moment") {}
    test.clocks.step(8 * day);
    test.crash_and_open();
    test.add(1);
    test.crash_and_open();
    CHECK_FALSE(test.counts("k"));
}

TEST_CASE("clock: who is promoted with a clock that is ahead, and crashes, has its master's records") {
    SteppingDatabase master;
    master.open();
    CHECK(master.counts("k"));
    SteppingDatabase other;
    other.clocks.step(8 * day);
    other.options.read_only = true;
    other.open();
    master.storage->read_log(0, [&](const EventGroup& group) {
        other.database->replicate(group.bytes, std::nullopt);
        return true;
    });
    other.database->commit_replicated();
    other.database->promote();
    other.add(1);
    other.crash_and_open();
    CHECK_FALSE(other.counts("k"));
}

/// Gives the state of one to the other.
void hand_over(SteppingDatabase& from, SteppingDatabase& to) {
    const auto pin = from.database->pin_log(0);
    const auto writer = to.database->write_state(to.database->idempotency_retention());
    from.database->read_state(*pin)->read([&](std::string_view piece) { writer->add(piece); });
    writer->install(Replacement());
}

/// That key "k" of this one does not count again at a node that takes its state, with a clock eight days
/// ahead.
void check_remembered_by_receiver(SteppingDatabase& master) {
    SteppingDatabase other;
    other.clocks.step(8 * day);
    other.open();
    hand_over(master, other);
    SUBCASE("as it goes on") {}
    SUBCASE("started again") { other.open(); }
    other.add(1);
    other.run_minute();
    CHECK_FALSE(other.counts("k"));
}

TEST_CASE("clock: who takes a state has its records, whatever its own clock says") {
    SteppingDatabase master;
    master.open();
    CHECK(master.counts("k"));
    check_remembered_by_receiver(master);
}

TEST_CASE("clock: who takes a state measures ages from where the master does, whose events may be ahead") {
    SteppingDatabase master;
    master.open();
    CHECK(master.counts("k"));
    // Started again with a clock that is wrong, which its events have, and its measure of ages has not.
    master.clocks.step(8 * day);
    master.open();
    master.add(1);
    check_remembered_by_receiver(master);
}

TEST_CASE("clock: time does not go back behind a state that was taken") {
    SteppingDatabase master;
    master.clocks.step(day);
    master.open();
    master.add(1);
    SteppingDatabase other;
    other.open();
    hand_over(master, other);
    SUBCASE("as it goes on") {}
    SUBCASE("started again") { other.open(); }
    other.add(1);
    CHECK(other.event_times().back() >= master.event_times().back());
}

TEST_CASE("clock: a step ahead drops no events") {
    SteppingDatabase test;
    test.options.event_retention_s = 86'400;
    test.open();
    test.add(1);
    test.database->save_snapshot();
    test.add(1);
    test.clocks.step(30 * day);
    test.run_minute();
    test.add(1);
    test.database->save_snapshot();
    test.database->apply_retention();
    CHECK(first_stored_lsn(*test.storage) == 1);
}

}  // namespace karma::test
