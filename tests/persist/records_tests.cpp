// What follows from events: idempotency records and ingest streams, over restarts and crashes.
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "engine/error.h"
#include "engine/event_codec.h"
#include "persist/database.h"
#include "persist/memory_storage.h"
#include "tests/persist/faulty_storage.h"
#include "tests/persist/refusal.h"
#include "tests/support/settings.h"
#include "tests/support/temp_dir.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

DatabaseOptions at_time(const std::int64_t& now_ms) {
    DatabaseOptions options;
    options.clock_ms = [&now_ms] { return now_ms; };
    options.snapshot_interval_s = 0;  // the clock is moved by hours
    return options;
}

Outcome execute(Database& database, const Request& request) {
    Outcome outcome;
    database.execute(std::span(&request, 1), std::span(&outcome, 1));
    database.commit();
    return outcome;
}

/// Whether a keyed increment was counted now.
bool counts(Database& database, std::string_view key, std::uint64_t value = 1) {
    const Mutation body = mutation::Increment{"s", 1, some_day, value};
    while (!database.has_records()) {
        std::this_thread::yield();
    }
    const Outcome outcome = execute(database, KeyedMutation{&body, key, ""});
    REQUIRE(std::get<reply::Number>(std::get<Reply>(outcome.result)).value == value);
    REQUIRE(outcome.deduplication != Deduplication::no_key);
    return outcome.deduplication == Deduplication::first;
}

template <typename T>
T expect(Reply reply) {
    if (const auto* const error = std::get_if<Error>(&reply)) {
        FAIL(error->message);
    }
    REQUIRE(std::holds_alternative<T>(reply));
    return std::get<T>(std::move(reply));
}

std::size_t stored_records(const Storage& storage) {
    std::size_t count = 0;
    storage.scan(Table::idempotency, "", [&](std::string_view, std::string_view value) {
        read_records(value, [&](const IdempotencyRecord&) { ++count; });
        return true;
    });
    return count;
}

/// Gives out the idempotency records only when it is told to.
class SlowStorage final : public test::ForwardingStorage {
public:
    using ForwardingStorage::ForwardingStorage;

    void release() {
        const std::lock_guard lock(mutex_);
        released_ = true;
        changed_.notify_all();
    }
    void scan_from(Table table, std::string_view begin,
                   const std::function<bool(std::string_view, std::string_view)>& visit) const override {
        if (table == Table::idempotency) {
            std::unique_lock lock(mutex_);
            changed_.wait(lock, [this] { return released_; });
        }
        ForwardingStorage::scan_from(table, begin, visit);
    }

private:
    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    bool released_ = false;
};

/// Loses the last group of the log.
class ShortStorage final : public test::ForwardingStorage {
public:
    using ForwardingStorage::ForwardingStorage;

    void read_log(Lsn from, const std::function<bool(const EventGroup&)>& visit) const override {
        ForwardingStorage::read_log(from, [&](const EventGroup& group) {
            return group.first_lsn + group.count == next_lsn() || visit(group);
        });
    }
};

}  // namespace

TEST_CASE("records: a restart remembers the keys, in every storage") {
    const test::TempDir directory;
    DatabaseOptions options;
    options.directory = directory.path();
    for (int round = 0; round < 3; ++round) {
        const auto database = Database::open(options);
        for (int i = 0; i < 50; ++i) {
            CHECK(counts(*database, "old" + std::to_string(i)) == (round == 0));
        }
        CHECK(counts(*database, "round" + std::to_string(round)));
        if (round == 1) {
            database->save_snapshot();
        }
    }
    CHECK(Database::open(options)->sum("s", 1) == 53);
}

TEST_CASE("records: what needs no keys is served while they are read") {
    MemoryStorage memory;
    {
        const auto database = Database::open({}, memory);
        CHECK(counts(*database, "k"));
    }
    SlowStorage slow(memory);
    const auto database = Database::open({}, slow);
    std::thread repeat;
    {
        CHECK(database->sum("s", 1) == 1);
        database->increment("s", 2, 5, some_day);
        CHECK(!database->has_records());
        const Mutation body = mutation::Increment{"s", 1, some_day, 1};
        // Who does not wait is refused, not counted twice.
        CHECK(code_of(std::get<Reply>(execute(*database, KeyedMutation{&body, "k", ""}).result)) ==
              ErrorCode::internal_error);
        repeat = std::thread([&] {
            expect<reply::Number>(database->call(KeyedMutation{&body, "k", ""}));
            expect<reply::Pruned>(database->call(Mutation(mutation::PruneRecords{1, std::nullopt})));
        });
        slow.release();
        repeat.join();
    }
    CHECK(database->has_records());
    CHECK(database->sum("s", 1) == 1);
}

TEST_CASE("records: they are stored with their event or not at all") {
    MemoryStorage memory;
    {
        test::FaultyStorage faulty(memory);
        const auto database = Database::open({}, faulty);
        const Mutation body = mutation::Increment{"s", 1, some_day, 1};
        expect<reply::Number>(database->call(KeyedMutation{&body, "stored", ""}));
        faulty.fail_after(0, 100);
        CHECK(code_of(database->call(KeyedMutation{&body, "lost", ""})) == ErrorCode::internal_error);
    }
    const auto database = Database::open({}, memory);
    CHECK(database->sum("s", 1) == 1);
    CHECK(!counts(*database, "stored"));
    CHECK(counts(*database, "lost"));
}

TEST_CASE("records: what was pruned stays pruned, and a snapshot changes nothing about it") {
    std::int64_t now_ms = 1'795'208'099'000;
    MemoryStorage memory;
    {
        const auto database = Database::open(at_time(now_ms), memory);
        for (int i = 0; i < 10; ++i) {
            CHECK(counts(*database, "k" + std::to_string(i)));
            now_ms += 1'000;
        }
        const mutation::PruneRecords prune{1'795'208'099 + 100, 4};
        CHECK(expect<reply::Pruned>(database->call(Mutation(prune))).deleted == 4);
        database->save_snapshot();
    }
    const auto database = Database::open(at_time(now_ms), memory);
    for (int i = 0; i < 10; ++i) {
        CAPTURE(i);
        CHECK(counts(*database, "k" + std::to_string(i)) == (i < 4));
    }
    CHECK(database->sum("s", 1) == 14);
}

TEST_CASE(
    "records: committed streams that were pruned stay pruned, from a snapshot of before or of after it") {
    for (const bool wal : {true, false}) {
        CAPTURE(wal);
        std::int64_t now_ms = 1'795'208'099'000;
        MemoryStorage memory;
        DatabaseOptions options = at_time(now_ms);
        options.wal = wal;
        const auto chunk_of = [](const std::string& id) {
            static const std::vector<mutation::Item> items = {{1, some_day, 5}};
            return Mutation(mutation::AddChunk{id, "s", 1, items});
        };
        const auto commit_some = [&](Database& database, int first, int end) {
            for (int i = first; i < end; ++i) {
                const std::string id = "i" + std::to_string(i);
                database.call(Mutation(mutation::BeginStream{id, IngestMode::add, std::nullopt}));
                database.call(chunk_of(id));
                database.call(Mutation(mutation::CommitStream{id}));
                now_ms += 1'000;
            }
        };
        const auto prune = [&](Database& database, std::uint64_t limit) {
            const mutation::PruneStreams body{now_ms / 1000 + 1, limit};
            return expect<reply::Pruned>(database.call(Mutation(body))).deleted;
        };
        Digest digest;
        {
            const auto database = Database::open(options, memory);
            commit_some(*database, 0, 6);
            database->save_snapshot();
            CHECK(prune(*database, 4) == 4);
            commit_some(*database, 6, 8);
            digest = database->digest();
            if (!wal) database->save_snapshot();
        }
        for (int restarts = 0; restarts < 2; ++restarts) {
            const auto database = Database::open(options, memory);
            CHECK(database->digest() == digest);
            CHECK(database->view().of<IngestStreams>().committed_count == 4);
            CHECK(code_of(database->call(chunk_of("i3"))) == ErrorCode::not_found);
            expect<reply::ChunkSkipped>(database->call(chunk_of("i4")));
            CHECK(database->sum("s", 1) == 40);
            database->save_snapshot();
        }
        std::size_t rows = 0;
        memory.scan(Table::streams, "", [&](std::string_view, std::string_view) { return ++rows != 0; });
        CHECK(rows == 4);
    }
}

TEST_CASE("records: forgotten ones give back their storage") {
    MemoryStorage memory;
    DatabaseOptions options;
    options.idempotency.records_max = 20;
    const auto database = Database::open(options, memory);
    const Mutation body = mutation::Increment{"s", 1, some_day, 1};
    for (int i = 0; i < 200; ++i) {
        const std::string key = "k" + std::to_string(i);
        expect<reply::Number>(database->call(KeyedMutation{&body, key, ""}));  // each a group of its own
    }
    CHECK(stored_records(memory) >= 20);
    const auto end = std::chrono::steady_clock::now() + test::patience();
    while (stored_records(memory) != 20 && std::chrono::steady_clock::now() < end) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    CHECK(stored_records(memory) == 20);
    CHECK(!counts(*database, "k199"));
    CHECK(counts(*database, "k5"));
}

TEST_CASE("records: damaged ones refuse what needs them and nothing else") {
    MemoryStorage memory;
    Database::open({}, memory)->increment("s", 1, 3, some_day);
    const RecordChange damage{Table::idempotency, std::string(8, '\1'), "junk"};
    memory.write(std::span(&damage, 1), true);
    const auto database = Database::open({}, memory);
    const Mutation body = mutation::Increment{"s", 1, some_day, 1};
    const Reply refused = database->call(KeyedMutation{&body, "k", ""});
    CHECK(code_of(refused) == ErrorCode::internal_error);
    CHECK(std::get<Error>(refused).message.find("idempotency records") != std::string::npos);
    CHECK(expect<reply::Health>(database->call(query::Health{})).status.starts_with("failed: "));
    database->increment("s", 1, 1, some_day);
    CHECK(database->sum("s", 1) == 4);
}

TEST_CASE("records: without a log, keys and streams come back as the last snapshot has them") {
    MemoryStorage memory;
    DatabaseOptions options;
    options.wal = false;
    const std::vector<mutation::Item> items = {{1, some_day, 5}};
    const auto add_chunk = [&](Database& database, std::string_view id) {
        return database.call(Mutation(mutation::AddChunk{id, "t", 1, items}));
    };
    {
        const auto database = Database::open(options, memory);
        CHECK(counts(*database, "before"));
        database->increment("other", 1, 1, some_day);
        for (const char* const id : {"committed", "open"}) {
            database->call(Mutation(mutation::BeginStream{id, IngestMode::add, std::nullopt}));
            expect<reply::ChunkApplied>(add_chunk(*database, id));
        }
        database->call(Mutation(mutation::CommitStream{"committed"}));
        // A snapshot of one series stores all: the others must not be behind it.
        CHECK(expect<reply::SnapshotSaved>(database->call(control::SaveSnapshot{"s"})).series == "s");
        CHECK(counts(*database, "after"));
        database->call(Mutation(mutation::CommitStream{"open"}));
    }
    const auto database = Database::open(options, memory);
    CHECK(database->sum("other", 1) == 1);
    CHECK(database->sum("t", 1) == 10);
    CHECK(!counts(*database, "before"));
    CHECK(counts(*database, "after"));  // as its count was lost, so was its key
    CHECK(expect<reply::ChunkSkipped>(add_chunk(*database, "committed")).committed);
    CHECK(!expect<reply::ChunkSkipped>(add_chunk(*database, "open")).committed);
}

TEST_CASE("records: keys, streams and staged series outlast restarts and snapshots at any moment") {
    std::mt19937_64 random = test::random_engine("records walk");
    MemoryStorage memory;
    std::map<std::string, std::uint64_t> keys;  // the value that each was used with
    std::uint64_t expected = 0;
    std::uint64_t streams = 0;
    Digest digest;
    for (int round = 0; round < 12; ++round) {
        const auto database = Database::open({}, memory);
        CHECK(database->digest() == (round == 0 ? database->digest() : digest));
        CHECK(expect<reply::Verified>(database->call(query::VerifySnapshots{})).digest ==
              database->digest().text());
        for (const auto& [key, value] : keys) {
            CHECK(!counts(*database, key, value));
        }
        for (int step = 0; step < 60; ++step) {
            const std::string id = "i" + std::to_string(random_between(random, streams, streams + 5));
            const std::string series = "t" + std::to_string(random_between(random, 0, 1));
            switch (random_between(random, 0, 11)) {
                case 0: database->save_snapshot(); break;
                case 1: database->call(control::SaveSnapshot{series}); break;
                case 2: database->call(Mutation(mutation::CommitStream{id})); break;
                case 3: database->call(Mutation(mutation::AbortStream{id})); break;
                case 4: database->call(Mutation(mutation::DropSeries{series})); break;
                case 5:
                case 6: {
                    const auto mode = static_cast<IngestMode>(random_between(random, 0, 2));
                    database->call(Mutation(mutation::BeginStream{id, mode, "day"}));
                    break;
                }
                case 7:
                case 8:
                case 9: {
                    std::vector<mutation::Item> items;
                    for (std::uint64_t left = random_between(random, 1, 300); left > 0; --left) {
                        items.push_back(
                            {random_between(random, 0, 10'000), some_day, random_between(random, 1, 9)});
                    }
                    for (std::uint64_t seq = 1; seq < 5; ++seq) {  // the next one, whichever it is
                        const std::vector<mutation::Item> some(
                            items.begin() + static_cast<std::ptrdiff_t>(seq % items.size()), items.end());
                        database->call(Mutation(mutation::AddChunk{id, series, seq, some}));
                    }
                    break;
                }
                default: {
                    const std::string key = "k" + std::to_string(keys.size());
                    keys[key] = random_between(random, 1, 50);
                    expected += keys[key];
                    CHECK(counts(*database, key, keys[key]));
                    break;
                }
            }
        }
        streams += 2;
        CHECK(database->sum("s", 1) == expected);
        CHECK(expect<reply::Verified>(database->call(query::VerifySnapshots{})).digest ==
              database->digest().text());
        digest = database->digest();
    }
}

TEST_CASE("records: verifying finds a state that storage does not give") {
    MemoryStorage memory;
    ShortStorage damaged(memory);
    const auto database = Database::open({}, damaged);
    database->increment("s", 1, 3, some_day);
    const Reply found = database->call(query::VerifySnapshots{});
    CHECK(code_of(found) == ErrorCode::internal_error);
    CHECK(std::get<Error>(found).message.find("another state") != std::string::npos);
}

TEST_CASE("records: log entries are given from any event that is kept") {
    MemoryStorage memory;
    DatabaseOptions options;
    const auto entries = [](Database& database, Lsn after, std::size_t limit) {
        std::vector<Lsn> lsns;
        const auto reply = expect<reply::LogEntries>(database.call(query::LogEntries{after, limit}));
        CHECK(reply.source_lsn == database.last_lsn());
        for (const std::string& group : reply.groups) {
            read_event_group(group, [&](const Event& event) { lsns.push_back(event.lsn); });
        }
        return lsns;
    };
    {
        const auto database = Database::open(options, memory);
        CHECK(entries(*database, 0, 10).empty());
        for (int i = 0; i < 5; ++i) {
            database->increment("s", 1, 1, some_day);
        }
        CHECK(entries(*database, 0, 1'000) == std::vector<Lsn>{1, 2, 3, 4, 5});
        CHECK(entries(*database, 3, 1'000) == std::vector<Lsn>{4, 5});
        CHECK(entries(*database, 1, 2) == std::vector<Lsn>{2, 3});
        CHECK(entries(*database, 5, 2).empty());
        CHECK(entries(*database, 1'000, 2).empty());
    }
    options.wal = false;
    {
        const auto database = Database::open(options, memory);
        database->increment("s", 1, 1, some_day);  // 6, in no log
        database->save_snapshot();
        CHECK(code_of(database->call(query::LogEntries{5, 10})) == ErrorCode::replication_gap);
    }
    options.wal = true;
    const auto database = Database::open(options, memory);
    database->increment("s", 1, 1, some_day);
    CHECK(entries(*database, 6, 10) == std::vector<Lsn>{7});
    CHECK(entries(*database, 3, 10) == std::vector<Lsn>{4, 5});  // up to the gap
    CHECK(code_of(database->call(query::LogEntries{5, 10})) == ErrorCode::replication_gap);
}

TEST_CASE("records: snapshots of one second have names of their own") {
    const std::int64_t now_ms = 1'795'208'099'000;
    MemoryStorage memory;
    const auto database = Database::open(at_time(now_ms), memory);
    database->increment("s", 1, 3, some_day);
    for (int i = 0; i < 3; ++i) {
        database->call(control::SaveSnapshot{"s"});
    }
    CHECK(expect<reply::SnapshotNames>(database->call(query::Snapshots{})).files ==
          std::vector<std::string>{"1795208101_s.tree", "1795208100_s.tree", "1795208099_s.tree"});
    const auto info = *expect<Boxed<reply::SnapshotInfo>>(database->call(query::SnapshotInfo{}));
    REQUIRE(info.latest.size() == 1);
    CHECK(info.latest[0].file == "1795208101_s.tree");
    CHECK(info.count == 3);
    CHECK(!info.idempotency);
    CHECK(counts(*database, "k"));
    database->save_snapshot();
    const auto later = *expect<Boxed<reply::SnapshotInfo>>(database->call(query::SnapshotInfo{}));
    REQUIRE(later.idempotency);
    CHECK(later.idempotency->records == 1);
    CHECK(later.idempotency->last_lsn == 2);
}

TEST_CASE("records: they are counted") {
    MemoryStorage memory;
    const auto database = Database::open({}, memory);
    CHECK(counts(*database, "a"));
    CHECK(counts(*database, "b"));
    CHECK(!counts(*database, "a"));
    const Mutation other = mutation::Increment{"s", 2, some_day, 1};
    CHECK(code_of(database->call(KeyedMutation{&other, "a", ""})) == ErrorCode::idempotency_conflict);
    const std::vector<mutation::Item> items = {{1, some_day, 5}, {2, some_day, 5}};
    database->call(Mutation(mutation::BeginStream{"i", IngestMode::add, std::nullopt}));
    database->call(Mutation(mutation::BeginStream{"open", IngestMode::add, std::nullopt}));
    for (const std::uint64_t seq : {1, 1, 3, 2}) {
        database->call(Mutation(mutation::AddChunk{"i", "t", seq, items}));
    }
    database->call(Mutation(mutation::CommitStream{"i"}));
    expect<reply::Pruned>(
        database->call(Mutation(mutation::PruneRecords{std::numeric_limits<std::int64_t>::max(), 1})));
    std::map<std::string, std::uint64_t> stats;
    const auto list = expect<reply::StatsList>(database->call(query::Stats{}));
    for (const Metric& metric : list.metrics) {
        if (metric.stat != nullptr && std::holds_alternative<std::uint64_t>(metric.value)) {
            stats[metric.stat] = std::get<std::uint64_t>(metric.value);
        }
    }
    const std::map<std::string, std::uint64_t> expected = {
        {"idempotency_record_count", 1}, {"idempotency_hits", 1},
        {"idempotency_conflicts", 1},    {"idempotency_pruned", 1},
        {"idempotency_write_count", 2},  {"idempotency_committed_stream_count", 1},
        {"ingest_active_streams", 1},    {"ingest_chunks_applied", 2},
        {"ingest_chunks_skipped", 1},    {"ingest_chunks_rejected", 1},
        {"ingest_items_applied", 4},     {"batch_write_count", 0}};
    for (const auto& entry : expected) {
        CAPTURE(entry.first);
        CHECK(stats.at(entry.first) == entry.second);
    }
}

}  // namespace karma::test
