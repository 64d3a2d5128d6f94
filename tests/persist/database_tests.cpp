#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "engine/error.h"
#include "engine/event_codec.h"
#include "persist/database.h"
#include "persist/memory_storage.h"
#include "persist/rocksdb_storage.h"
#include "tests/persist/faulty_storage.h"
#include "tests/persist/refusal.h"
#include "tests/support/settings.h"
#include "tests/support/temp_dir.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

DatabaseOptions on(const std::filesystem::path& directory) {
    DatabaseOptions options;
    options.directory = directory;
    return options;
}

void change_at_random(Database& database, std::mt19937_64& engine, int count) {
    for (int i = 0; i < count; ++i) {
        const std::string series = "s" + std::to_string(random_between(engine, 0, 3));
        const std::uint64_t key = random_between(engine, 0, 200);
        switch (random_between(engine, 0, 9)) {
            case 0: database.call(Mutation(mutation::ResetCounter{series, key})); break;
            case 1: database.call(Mutation(mutation::Decrement{series, key, some_day, 5})); break;
            case 2:
                if (random_between(engine, 0, 30) == 0) {
                    database.call(Mutation(mutation::DropSeries{series}));
                }
                break;
            case 3: database.call(Mutation(mutation::SaveCheckpoint{series, "1", std::nullopt})); break;
            default:
                database.increment(series, key, random_between(engine, 1, 1'000),
                                   some_day + static_cast<Day>(random_between(engine, 0, 30)));
                break;
        }
    }
}

}  // namespace

TEST_CASE("database: a restart brings back the same state, from the log and from snapshots") {
    const test::TempDir directory;
    std::mt19937_64 engine = test::random_engine("restart");
    Digest digest;
    Lsn lsn = 0;
    for (int round = 0; round < 6; ++round) {
        const auto database = Database::open(on(directory.path()));
        CHECK(database->digest() == (round == 0 ? database->digest() : digest));
        CHECK(database->last_lsn() == lsn);
        change_at_random(*database, engine, 150);
        if (round % 2 == 1) {
            database->save_snapshot();
        }
        if (round == 3) {
            database->call(control::SaveSnapshot{"s1"});
        }
        change_at_random(*database, engine, 50);
        digest = database->digest();
        lsn = database->last_lsn();
    }
}

TEST_CASE("database: a snapshot of one series is not applied twice after a crash") {
    const test::TempDir directory;
    {
        const auto database = Database::open(on(directory.path()));
        database->increment("links", 1, 10, some_day);
        database->increment("other", 1, 3, some_day);
        CHECK(std::holds_alternative<reply::SnapshotSaved>(database->call(control::SaveSnapshot{"links"})));
        database->increment("links", 1, 1, some_day);
    }
    const auto database = Database::open(on(directory.path()));
    CHECK(database->sum("links", 1) == 11);
    CHECK(database->sum("other", 1) == 3);
}

TEST_CASE("database: a dropped series stays dropped after a snapshot and a restart") {
    const test::TempDir directory;
    {
        const auto database = Database::open(on(directory.path()));
        database->increment("links", 1, 10, some_day);
        database->save_snapshot();
        database->call(Mutation(mutation::DropSeries{"links"}));
        database->increment("other", 1, 3, some_day);
        CHECK(database->view().series.size() == 1);
    }
    {
        const auto database = Database::open(on(directory.path()));
        CHECK(database->view().series.size() == 1);
        database->save_snapshot();
    }
    const auto database = Database::open(on(directory.path()));
    CHECK(database->view().series.size() == 1);
    CHECK(code_of(database->call(query::Sum{"links", 1, std::nullopt})) == ErrorCode::not_found);
}

TEST_CASE("database: without a log, snapshots survive and the log can be taken up again") {
    const test::TempDir directory;
    DatabaseOptions options = on(directory.path());
    Database::open(options)->increment("links", 1, 1, some_day);
    options.wal = false;
    {
        const auto database = Database::open(options);
        database->increment("links", 1, 10, some_day);
        database->increment("new", 1, 5, some_day);
        database->call(control::SaveSnapshot{"links"});
        database->increment("links", 1, 100, some_day);  // is in no snapshot
    }
    options.wal = true;
    {
        const auto database = Database::open(options);
        CHECK(database->sum("links", 1) == 11);
        database->increment("links", 1, 1'000, some_day);
    }
    const auto database = Database::open(options);
    CHECK(database->sum("links", 1) == 1'011);
}

TEST_CASE("database: --restore=false starts empty and keeps what was there") {
    const test::TempDir directory;
    Database::open(on(directory.path()))->increment("links", 1, 7, some_day);
    DatabaseOptions options = on(directory.path());
    options.restore = false;
    {
        const auto database = Database::open(options);
        CHECK(database->view().series.empty());
        CHECK(database->restore_summary().find("untouched") != std::string::npos);
        database->increment("links", 1, 1, some_day);
    }
    CHECK(Database::open(on(directory.path()))->sum("links", 1) == 1);
    std::vector<std::filesystem::path> aside;
    for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
        if (entry.path().filename().string().starts_with("karma.db.")) {
            aside.push_back(entry.path());
        }
    }
    REQUIRE(aside.size() == 1);
    std::filesystem::remove_all(directory / "karma.db");
    std::filesystem::rename(aside.front(), directory / "karma.db");
    CHECK(Database::open(on(directory.path()))->sum("links", 1) == 7);
}

TEST_CASE("database: once the log has failed nothing is acknowledged any more") {
    MemoryStorage disk;
    {
        test::FaultyStorage storage(disk);
        std::vector<std::string> told;
        DatabaseOptions options = on(".");
        options.on_failure = [&](const std::string& what, const std::string& why) {
            told.push_back(what + ": " + why);
        };
        const auto database = Database::open(options, storage);
        database->increment("links", 1, 5, some_day);
        storage.fail_after(1, 1'000);
        database->increment("links", 1, 1, some_day);
        CHECK_FALSE(database->has_failed());
        CHECK(code_of(database->call(Mutation(mutation::Increment{"links", 1, some_day, 100}))) ==
              ErrorCode::internal_error);
        CHECK(database->has_failed());
        CHECK(code_of(database->call(Mutation(mutation::Increment{"links", 1, some_day, 1}))) ==
              ErrorCode::internal_error);
        // The counter in memory shows an event that is not durable: nobody may see it.
        CHECK(code_of(database->call(query::Sum{"links", 1, std::nullopt})) == ErrorCode::internal_error);
        CHECK(code_of(database->call(control::SaveAllSnapshots{})) == ErrorCode::internal_error);
        const Reply health = database->call(query::Health{});
        CHECK(std::get<reply::Health>(health).status.find("no space left") != std::string::npos);
        // Said once, with the reason.
        CHECK(database->failure().find("no space left") != std::string::npos);
        CHECK(std::ranges::count(told, "event_log: " + database->failure()) == 1);
    }
    CHECK(Database::open(on("."), disk)->sum("links", 1) == 6);
}

TEST_CASE("database: a snapshot that is cut short leaves the one before it valid") {
    std::mt19937_64 engine = test::random_engine("snapshot cut short");
    for (std::uint64_t writes = 0; writes < 4; ++writes) {
        MemoryStorage disk;
        Digest digest;
        {
            test::FaultyStorage storage(disk);
            const auto database = Database::open(on("."), storage);
            change_at_random(*database, engine, 200);
            database->save_snapshot();
            change_at_random(*database, engine, 100);
            if (writes > 1) {
                // So much that pages are written ahead of the manifest.
                std::vector<mutation::Item> items;
                for (std::uint64_t key = 0; key < 100'000; ++key) {
                    items.push_back({key, some_day, 1 + key});
                }
                database->call(Mutation(mutation::BatchAdd{"large", items}));
            }
            storage.fail_after(1'000'000, writes);
            const Reply reply = database->call(control::SaveAllSnapshots{});
            if (writes == 0) {
                CHECK(code_of(reply) == ErrorCode::internal_error);
            }
            digest = database->digest();
        }
        CHECK(Database::open(on("."), disk)->digest() == digest);
    }
}

TEST_CASE("database: a damaged event is named, not skipped") {
    MemoryStorage disk;
    Database::open(on("."), disk)->increment("links", 1, 5, some_day);
    disk.append({disk.next_lsn(), 1, "rubbish"}, {}, true);
    CHECK_THROWS_WITH_AS(Database::open(on("."), disk), doctest::Contains("LSN 2"), CorruptionError);
}

TEST_CASE("database: a log with a gap does not start") {
    MemoryStorage disk;
    Database::open(on("."), disk)->increment("links", 1, 5, some_day);
    MemoryStorage other;
    disk.read_log(1, [&](const EventGroup& group) {
        const Lsn next = group.first_lsn + 3;
        other.skip_to(next);
        return true;
    });
    EventGroupBuilder builder;
    builder.add({4, 0, mutation::Increment{"links", 1, some_day, 1}});
    std::string bytes;
    builder.finish(bytes);
    other.append({4, 1, bytes}, {}, true);
    CHECK_THROWS_WITH_AS(Database::open(on("."), other), doctest::Contains("from LSN 1 to 3 are missing"),
                         CorruptionError);
}

TEST_CASE("database: many threads, each write exactly once") {
    for (const std::uint32_t group_size : {1U, 7U, 1024U}) {
        const test::TempDir directory;
        DatabaseOptions options = on(directory.path());
        options.wal_batch_size = group_size;
        options.wal_batch_wait_us = group_size == 7 ? 200 : 0;
        constexpr std::uint64_t threads = 6;
        const std::uint64_t each = test::scaled(100);
        {
            const auto database = Database::open(options);
            std::vector<std::thread> writers;
            for (std::uint64_t t = 0; t < threads; ++t) {
                writers.emplace_back([&database, t, each] {
                    for (std::uint64_t i = 0; i < each; ++i) {
                        database->increment("links", t, 1, some_day);
                        const std::uint64_t seen = database->sum("links", t);
                        if (seen != i + 1) {
                            throw std::runtime_error("a thread does not see its own write");
                        }
                        if (i % 25 == 0) {
                            database->save_snapshot();
                        }
                    }
                });
            }
            for (std::thread& writer : writers) {
                writer.join();
            }
        }
        const auto database = Database::open(options);
        for (std::uint64_t t = 0; t < threads; ++t) {
            CHECK(database->sum("links", t) == each);
        }
        CHECK(database->last_lsn() == threads * each);
    }
}

TEST_CASE("database: what was accepted is committed when it closes, group by group") {
    MemoryStorage disk;
    DatabaseOptions options = on(".");
    options.wal_batch_size = 10;
    {
        const auto database = Database::open(options, disk);
        const std::vector<Request> requests(95,
                                            Request(Mutation(mutation::Increment{"links", 1, some_day, 1})));
        std::vector<Outcome> outcomes(requests.size());
        database->execute(requests, outcomes);
        CHECK(outcomes.back().wait_lsn == 95);
    }
    std::size_t events = 0;
    disk.read_log(1, [&](const EventGroup& group) {
        CHECK(group.count <= 10);
        events += group.count;
        return true;
    });
    CHECK(events == 95);
}

TEST_CASE("database: a slave refuses what writes") {
    MemoryStorage disk;
    Database::open(on("."), disk)->increment("links", 1, 5, some_day);
    DatabaseOptions options = on(".");
    options.read_only = true;
    const auto database = Database::open(options, disk);
    CHECK(database->sum("links", 1) == 5);
    CHECK(code_of(database->call(Mutation(mutation::Increment{"links", 1, some_day, 1}))) ==
          ErrorCode::forbidden);
    CHECK(code_of(database->call(control::SaveAllSnapshots{})) == ErrorCode::forbidden);
    CHECK_FALSE(database->accepts_writes());
}

TEST_CASE("database: a call waits for followers as a connection does") {
    MemoryStorage storage;
    DatabaseOptions options;
    options.replication_min_acks = 1;
    options.replication_ack_timeout_ms = 20;
    const auto database = Database::open(options, storage);
    const Mutation body = mutation::Increment{"links", 1, some_day, 1};
    CHECK(code_of(database->call(body)) == ErrorCode::replication_error);
    CHECK_THROWS_AS(database->increment("links", 1, 1, some_day), RequestError);
    CHECK(database->sum("links", 1) == 2);  // it is stored nevertheless, and reads do not wait
    database->set_acked_lsn(1'000, database->generation());
    CHECK(std::holds_alternative<reply::Number>(database->call(body)));
}

TEST_CASE("database: a commit group is bounded by bytes too") {
    MemoryStorage storage;
    DatabaseOptions options;
    options.threads = false;
    const auto database = Database::open(options, storage);
    std::vector<mutation::Item> items;
    for (std::uint64_t key = 0; key < 50'000; ++key) {
        items.push_back({key, some_day, 1});
    }
    const std::vector<Request> requests(100, Mutation(mutation::BatchAdd{"links", items}));
    std::vector<Outcome> outcomes(requests.size());
    database->execute(requests, outcomes);
    database->save_snapshot();  // commits them
    CHECK(storage.log_bytes() > (20U << 20U));
    Lsn expected = 1;
    storage.read_log(0, [&](const EventGroup& group) {
        CHECK(group.first_lsn == expected);
        CHECK(group.bytes.size() < (17U << 20U));
        expected = group.first_lsn + group.count;
        return true;
    });
    CHECK(expected == requests.size() + 1);
}

}  // namespace karma::test
