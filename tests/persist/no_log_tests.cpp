// Without an event log: what snapshots store is all that survives, so nothing may be lost on the way to them.
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "engine/error.h"
#include "persist/database.h"
#include "persist/memory_storage.h"
#include "persist/rocksdb_storage.h"
#include "tests/persist/faulty_file_system.h"
#include "tests/persist/faulty_storage.h"
#include "tests/persist/refusal.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

constexpr std::int64_t second_ms = 1'000;
constexpr std::int64_t day_ms = 24 * 3600 * second_ms;

/// A database without a log and without threads, whose clock is moved by hand.
class NoLogFixture {
public:
    explicit NoLogFixture(Storage& storage) : storage_(storage) {
        options_.wal = false;
        options_.threads = false;
        options_.clock_ms = [this] { return now_ms_; };
        options_.snapshot_interval_s = 0;  // the clock is moved by hours
        open();
    }

    void open() {
        database_.reset();
        database_ = Database::open(options_, storage_);
    }
    void end() { database_.reset(); }
    Database& database() { return *database_; }
    DatabaseOptions& options() { return options_; }
    void advance(std::int64_t ms) { now_ms_ += ms; }

    /// Whether a keyed increment is counted now, and not a repeat.
    bool counts(const std::string& key) {
        const Mutation body = mutation::Increment{"s", 1, some_day, 1};
        const Request request = KeyedMutation{&body, key, {}};
        Outcome outcome;
        database_->execute(std::span(&request, 1), std::span(&outcome, 1));
        REQUIRE(std::holds_alternative<reply::Number>(std::get<Reply>(outcome.result)));
        return outcome.deduplication == Deduplication::first;
    }

    void commit_stream(const std::string& id) {
        const std::vector<mutation::Item> items = {{2, some_day, 1}};
        database_->call(Mutation(mutation::BeginStream{id, IngestMode::add, {}}));
        database_->call(Mutation(mutation::AddChunk{id, "s", 1, items}));
        const Reply committed = database_->call(Mutation(mutation::CommitStream{id}));
        REQUIRE_FALSE(std::holds_alternative<Error>(committed));
    }

    std::string health() { return std::get<reply::Health>(database_->call(query::Health{})).status; }

private:
    Storage& storage_;
    DatabaseOptions options_;
    std::int64_t now_ms_ = 1'777'000'000'000;
    std::unique_ptr<Database> database_;
};

std::size_t stored_rows(const Storage& storage) {
    std::size_t count = 0;
    storage.scan(Table::idempotency, "", [&](std::string_view, std::string_view) {
        ++count;
        return true;
    });
    return count;
}

}  // namespace

TEST_CASE("no log: what a failed snapshot was to store is stored with the next one") {
    MemoryStorage memory;
    FaultyStorage faulty(memory);
    NoLogFixture fixture(faulty);
    CHECK(fixture.counts("before"));
    fixture.commit_stream("stream");
    for (int failures = 0; failures < 3; ++failures) {
        faulty.fail_after(0, 0);
        CHECK_THROWS_AS(fixture.database().save_snapshot(), RequestError);
        CHECK(fixture.counts("between " + std::to_string(failures)));
        faulty.heal();
    }
    fixture.database().save_snapshot();
    fixture.open();
    CHECK_FALSE(fixture.counts("before"));
    CHECK_FALSE(fixture.counts("between 0"));
    CHECK_FALSE(fixture.counts("between 2"));
    CHECK(fixture.database().sum("s", 1) == 4);
    fixture.database().call(Mutation(mutation::BeginStream{"stream", IngestMode::add, {}}));
    CHECK(fixture.database().sum("s", 2) == 1);
    const std::vector<mutation::Item> items = {{2, some_day, 1}};
    fixture.database().call(Mutation(mutation::AddChunk{"stream", "s", 1, items}));
    CHECK(fixture.database().sum("s", 2) == 1);  // committed for good
}

TEST_CASE("no log: a snapshot that failed is in health, and is tried again by itself") {
    MemoryStorage memory;
    FaultyStorage faulty(memory);
    NoLogFixture fixture(faulty);
    CHECK(fixture.counts("a"));
    CHECK(fixture.health() == "ok");
    faulty.fail_after(0, 0);
    CHECK_THROWS_AS(fixture.database().save_snapshot(), RequestError);
    CHECK(contains(fixture.health(), "failed: the last snapshot could not be stored"));
    CHECK(contains(fixture.health(), "made up by the test"));
    fixture.advance(60 * second_ms);
    fixture.database().maintain();
    CHECK(contains(fixture.health(), "failed: "));
    faulty.heal();
    fixture.advance(60 * second_ms);
    fixture.database().maintain();
    CHECK(fixture.health() == "ok");
    fixture.open();
    CHECK(fixture.database().sum("s", 1) == 1);
}

TEST_CASE("no log: a disk that has failed for a while is written again, and the end saves") {
    std::uint64_t seed = 1;
    for (const Fault fault : {Fault::append_error, Fault::short_append, Fault::no_space, Fault::sync_error}) {
        for (const char* const only : {"", ".log", ".sst"}) {
            CAPTURE(static_cast<int>(fault));
            CAPTURE(only);
            auto disk = std::make_shared<FaultyFileSystem>();
            const auto env = env_on(disk);
            {
                RocksdbStorage storage(
                    {std::string(FaultyFileSystem::root) + "/karma.db", 1U << 20U, env.get()});
                NoLogFixture fixture(storage);
                for (int i = 0; i < 7; ++i) {
                    CHECK(fixture.counts("early " + std::to_string(i)));
                }
                fixture.database().save_snapshot();
                disk->fail({fault, 0, forever, only}, seed++);
                for (int i = 0; i < 101; ++i) {
                    CHECK(fixture.counts("late " + std::to_string(i)));
                }
                for (int i = 0; i < 3; ++i) {
                    try {
                        fixture.database().save_snapshot();
                        CHECK(contains(only, ".sst"));  // which a small snapshot does not write
                    } catch (const RequestError& failure) {
                        CHECK(contains(fixture.health(), "failed: "));
                    }
                    CHECK(fixture.database().sum("s", 1) == 108);
                }
                disk->heal();
                fixture.database().save_snapshot_if_changed();
                CHECK(fixture.health() == "ok");
                fixture.end();
            }
            RocksdbStorage storage({std::string(FaultyFileSystem::root) + "/karma.db", 1U << 20U, env.get()});
            NoLogFixture fixture(storage);
            CHECK(fixture.database().sum("s", 1) == 108);
            CHECK_FALSE(fixture.counts("early 0"));
            CHECK_FALSE(fixture.counts("late 100"));
        }
    }
}

TEST_CASE("no log: large snapshots survive a disk that fails at any byte") {
    std::mt19937_64 random = random_engine("large snapshots without a log");
    for (std::size_t round = 0; round < scaled(12); ++round) {
        CAPTURE(round);
        constexpr Fault faults[] = {Fault::append_error, Fault::short_append, Fault::no_space,
                                    Fault::sync_error};
        FaultPlan plan{faults[round % 4], 0, forever, ""};
        plan.after = random_between(random, 0, std::uint64_t{1} << random_between(random, 0, 8));
        plan.after *= plan.fault == Fault::no_space ? 10'000 : 1;
        if (plan.fault == Fault::sync_error) {
            // Not of a MANIFEST: RocksDB 7.8 removes a table file that it has named there when it does not
            // know whether that was written (docs/reliability.md).
            plan.only = one_in(random, 2) ? ".sst" : ".log";
        }
        auto disk = std::make_shared<FaultyFileSystem>();
        const auto env = env_on(disk);
        std::uint64_t keys = 0;
        {
            RocksdbStorage storage({std::string(FaultyFileSystem::root) + "/karma.db", 1U << 20U, env.get()});
            NoLogFixture fixture(storage);
            const auto add_keys = [&] {
                std::vector<mutation::Item> items;
                for (int i = 0; i < 100'000; ++i) {
                    items.push_back({++keys, some_day, 1});
                }
                fixture.database().call(Mutation(mutation::BatchAdd{"s", items}));
            };
            add_keys();
            fixture.database().save_snapshot();
            disk->fail(plan, random());
            for (int i = 0; i < 3; ++i) {
                add_keys();
                try {
                    fixture.database().save_snapshot();
                } catch (const RequestError&) {
                    CHECK(contains(fixture.health(), "failed: "));
                }
            }
            const bool is_healed = one_in(random, 2);
            if (is_healed) {
                disk->heal();
                fixture.database().save_snapshot_if_changed();
            } else {
                keys = 0;
            }
            fixture.end();
        }
        disk->heal();
        RocksdbStorage storage({std::string(FaultyFileSystem::root) + "/karma.db", 1U << 20U, env.get()});
        NoLogFixture fixture(storage);
        const auto summary = std::get<reply::Number>(fixture.database().call(query::Sum{"s", 1, {}}));
        CHECK(summary.value == 1);
        CHECK((keys == 0 || fixture.database().view().series.front().totals().keys == keys));
    }
}

TEST_CASE("no log: the end of a database whose disk fails ends nothing else") {
    auto disk = std::make_shared<FaultyFileSystem>();
    const auto env = env_on(disk);
    for (const bool has_tried : {false, true}) {
        {
            RocksdbStorage storage({std::string(FaultyFileSystem::root) + "/karma.db", 1U << 20U, env.get()});
            NoLogFixture fixture(storage);
            fixture.counts("a");
            disk->fail({Fault::append_error, 0, forever, ""}, 7);
            if (has_tried) {
                CHECK_THROWS_AS(fixture.database().save_snapshot(), RequestError);
                CHECK_THROWS_AS(fixture.database().save_snapshot(), RequestError);
            }
        }
        disk->heal();
    }
}

TEST_CASE("no log: records that a stored snapshot has forgotten go from storage") {
    MemoryStorage memory;
    NoLogFixture fixture(memory);
    fixture.options().idempotency = {1'000'000, 3600};
    fixture.open();
    for (int day = 0; day < 10; ++day) {
        CHECK(fixture.counts("day " + std::to_string(day)));
        fixture.database().save_snapshot();
        fixture.advance(day_ms);
        fixture.database().maintain();
    }
    CHECK(stored_rows(memory) <= 3);
    // What no snapshot has forgotten yet is there: a restart goes back to it.
    fixture.open();
    CHECK(fixture.database().sum("s", 1) == 10);
    CHECK(fixture.counts("day 0"));
}

TEST_CASE("no log: a load that was cut short is gone after a restart, and from later snapshots") {
    MemoryStorage memory;
    NoLogFixture fixture(memory);
    const std::string id = std::string(load_stream_prefix) + "1_s.tree#1.1";
    const std::vector<mutation::Item> items = {{2, some_day, 1}};
    fixture.database().call(Mutation(mutation::Increment{"s", 1, some_day, 1}));
    fixture.database().call(Mutation(mutation::BeginStream{id, IngestMode::replace_series, {}}));
    fixture.database().call(Mutation(mutation::AddChunk{id, "s", 1, items}));
    REQUIRE(fixture.database().view().of<IngestStreams>().open.size() == 1);
    fixture.database().save_snapshot();
    fixture.open();
    CHECK(fixture.database().view().of<IngestStreams>().open.empty());
    CHECK(fixture.database().sum("s", 1) == 1);
}

TEST_CASE("no log: a load that an earlier version has left in a snapshot is aborted at the start") {
    MemoryStorage memory;
    const std::string id = std::string(load_stream_prefix) + "1_s.tree#1.1";
    {
        // With a log it is in the snapshot: the rest of it may follow in the log.
        const auto database = Database::open({}, memory);
        database->increment("s", 1, 1, some_day);
        database->call(Mutation(mutation::BeginStream{id, IngestMode::replace_series, {}}));
        database->save_snapshot();
    }
    NoLogFixture fixture(memory);
    CHECK(fixture.database().view().of<IngestStreams>().open.empty());
}

TEST_CASE("no log: a series that is not there is not found, also as of the last event") {
    MemoryStorage memory;
    NoLogFixture fixture(memory);
    fixture.database().increment("s", 1, 1, some_day);
    const Lsn last = fixture.database().last_lsn();
    const auto ask = [&](std::string_view series, std::optional<HistoryPoint> as_of) {
        return fixture.database().call(query::Sum{series, 1, {}, as_of});
    };
    CHECK(code_of(ask("other", std::nullopt)) == ErrorCode::not_found);
    CHECK(code_of(ask("other", HistoryPoint::at_lsn(last))) == ErrorCode::not_found);
    CHECK(std::get<reply::Number>(ask("s", HistoryPoint::at_lsn(last))).value == 1);
    fixture.database().increment("s", 1, 1, some_day);
    CHECK(code_of(ask("other", HistoryPoint::at_lsn(last))) == ErrorCode::replication_gap);
}

}  // namespace karma::test
