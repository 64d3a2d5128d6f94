// A database as a node: its state on the way to another one, events taken over, roles.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "engine/error.h"
#include "engine/record_codec.h"
#include "persist/database.h"
#include "persist/memory_storage.h"
#include "persist/meta_numbers.h"
#include "persist/rocksdb_storage.h"
#include "persist/state_transfer.h"
#include "persist/stored_database.h"
#include "tests/persist/faulty_storage.h"
#include "tests/support/settings.h"
#include "tests/support/temp_dir.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

DatabaseOptions master_options() {
    DatabaseOptions options;
    options.clock_ms = [] { return std::int64_t{1'780'000'000'000}; };
    return options;
}

DatabaseOptions slave_options() {
    DatabaseOptions options = master_options();
    options.read_only = true;
    return options;
}

/// A slave that can take events.
std::unique_ptr<Database> open_slave(Storage& storage, const DatabaseOptions& options = slave_options()) {
    auto slave = Database::open(options, storage);
    REQUIRE(slave->wait_until_ready());
    return slave;
}

/// Something of everything that a state can hold.
void fill(Database& database, std::mt19937_64& random, int count) {
    for (int i = 0; i < count; ++i) {
        const std::string series = "s" + std::to_string(random_between(random, 0, 3));
        const std::uint64_t key = random_between(random, 0, 3'000);
        const Mutation increment = mutation::Increment{series, key, some_day + static_cast<Day>(key % 50), 7};
        if (i % 3 == 0) {
            const std::string name = "key-" + std::to_string(random_between(random, 0, 500));
            database.call(KeyedMutation{&increment, name, {}});
        } else {
            database.call(increment);
        }
    }
    database.call(Mutation(mutation::SaveCheckpoint{"source", "1", std::nullopt}));
    for (const std::string stream : {"open", "done"}) {
        database.call(Mutation(mutation::BeginStream{stream, IngestMode::replace_series, "day"}));
        const std::string name = "staged-" + stream;
        const std::vector<mutation::Item> items{{1, some_day, 5}, {2, some_day, 6}};
        database.call(Mutation(mutation::AddChunk{stream, name, 1, items}));
    }
    database.call(Mutation(mutation::CommitStream{"done"}));
}

std::vector<std::string> pieces_of(Database& database) {
    const auto pin = database.pin_log(0);
    std::vector<std::string> pieces;
    database.read_state(*pin)->read([&](std::string_view piece) { pieces.emplace_back(piece); });
    return pieces;
}

void install(Database& database, const std::vector<std::string>& pieces) {
    const auto writer = database.write_state(database.idempotency_retention());
    for (const std::string& piece : pieces) {
        writer->add(piece);
    }
    writer->install(Replacement());
}

/// Gives the other one the events that it has not.
void catch_up(Database& from, Database& to) {
    from.read_log(to.last_lsn() + 1, [&](const EventGroup& group) {
        to.replicate(group.bytes, std::nullopt);
        return true;
    });
    to.commit_replicated();
}

bool is_repeat(Database& database, const std::string& key, const Mutation& body) {
    const KeyedMutation request{&body, key, {}};
    const Request requests[] = {request};
    Outcome outcomes[1];
    database.execute(requests, outcomes);
    return outcomes[0].deduplication == Deduplication::repeat;
}

/// A master with changes at random, and its state in the pieces that a slave gets.
struct FilledMaster {
    FilledMaster(std::string_view purpose, int count) : database(Database::open(master_options(), storage)) {
        std::mt19937_64 random = random_engine(purpose);
        fill(*database, random, count);
        pieces = pieces_of(*database);
    }

    MemoryStorage storage;
    std::unique_ptr<Database> database;
    std::vector<std::string> pieces;
};

/// Calls something before it is cleared, and something when its size is asked for.
class WatchedStorage final : public ForwardingStorage {
public:
    using ForwardingStorage::ForwardingStorage;

    void clear(std::span<const RecordChange> records) override {
        if (on_clear) on_clear();
        ForwardingStorage::clear(records);
    }
    std::uint64_t log_bytes() const override {
        if (on_log_bytes) on_log_bytes();
        return ForwardingStorage::log_bytes();
    }

    std::function<void()> on_clear;
    std::function<void()> on_log_bytes;
};

/// Of a database whose storage holds a part of a state.
void refuses_all_but_a_state(Database& database) {
    CHECK(database.has_failed());
    const std::string status = std::get<reply::Health>(database.call(query::Health{})).status;
    CHECK(contains(status, "failed: the state of the master"));
    CHECK_THROWS_AS(database.promote(), RequestError);
    CHECK(database.role() == Role::slave);
    const Event next{database.last_lsn() + 1, 5, fact::Increment{"a", 1, some_day, 1}, {}};
    CHECK_THROWS_AS(database.replicate(next), StorageError);
    CHECK_THROWS_AS(database.save_snapshot(), RequestError);
}

}  // namespace

TEST_CASE("replication: a state that was taken over is the same, with records, streams and what follows") {
    std::mt19937_64 random = test::random_engine("state transfer");
    MemoryStorage master_storage;
    MemoryStorage slave_storage;
    const auto master = Database::open(master_options(), master_storage);
    auto slave = open_slave(slave_storage);
    fill(*master, random, 5'000);
    install(*slave, pieces_of(*master));
    CHECK(slave->digest() == master->digest());
    CHECK(slave->durable_lsn() == master->last_lsn());
    CHECK(slave->mark_at(slave->last_lsn()).checksum == master->mark_at(master->last_lsn()).checksum);
    const Mutation later = mutation::Increment{"later", 1, some_day, 1};
    master->call(KeyedMutation{&later, "later", {}});
    fill(*master, random, 500);
    master->call(Mutation(mutation::CommitStream{"open"}));
    catch_up(*master, *slave);
    CHECK(slave->digest() == master->digest());
    for (int restarts = 0; restarts < 2; ++restarts) {
        slave.reset();
        slave = open_slave(slave_storage);
        CHECK(slave->digest() == master->digest());
        CHECK(slave->mark_at(slave->last_lsn()).checksum == master->mark_at(master->last_lsn()).checksum);
    }
    slave->promote();
    CHECK(is_repeat(*slave, "later", later));
    CHECK(!is_repeat(*slave, "never", later));
}

TEST_CASE("replication: every idempotency record of the master is known to a promoted slave") {
    MemoryStorage master_storage;
    MemoryStorage slave_storage;
    const auto master = Database::open(master_options(), master_storage);
    const auto slave = open_slave(slave_storage);
    const auto body = [](std::uint64_t i) -> Mutation {
        return mutation::Increment{"a", i, some_day, i + 1};
    };
    for (std::uint64_t i = 0; i < 600; ++i) {
        const Mutation increment = body(i);
        master->call(KeyedMutation{&increment, "key-" + std::to_string(i), {}});
        if (i == 300) {
            install(*slave, pieces_of(*master));
        }
    }
    catch_up(*master, *slave);
    slave->promote();
    for (std::uint64_t i = 0; i < 600; ++i) {
        CAPTURE(i);
        CHECK(is_repeat(*slave, "key-" + std::to_string(i), body(i)));
    }
}

TEST_CASE("replication: a state holds the records of its LSN, whatever is forgotten while it is read") {
    const TempDir directory;
    DatabaseOptions options = master_options();
    options.threads = false;
    options.directory = directory.path();
    const Mutation body = mutation::Increment{"a", 1, some_day, 1};
    const mutation::PruneRecords prune{std::numeric_limits<std::int64_t>::max(), 10};
    {
        const auto database = Database::open(options);
        for (int i = 0; i < 100; ++i) {
            database->call(KeyedMutation{&body, "k" + std::to_string(i), {}});
        }
        database->call(Mutation(prune));
    }
    // Rows that an earlier run has left are erased by the first background maintenance of this one.
    const auto master = Database::open(options);
    MemoryStorage slave_storage;
    const auto slave = open_slave(slave_storage);
    const auto writer = slave->write_state(slave->idempotency_retention());
    bool is_first = true;
    const auto pin = master->pin_log(0);
    master->read_state(*pin)->read([&](std::string_view piece) {
        if (std::exchange(is_first, false)) {
            master->call(Mutation(prune));
            master->maintain();
        }
        writer->add(piece);
    });
    writer->install(Replacement());
    catch_up(*master, *slave);
    slave->promote();
    for (int i = 0; i < 100; ++i) {
        CAPTURE(i);
        CHECK(is_repeat(*slave, "k" + std::to_string(i), body) == (i >= 20));
    }
}

TEST_CASE(
    "replication: a state is not sent whose committed streams are pruned meanwhile, and the next one is") {
    DatabaseOptions options = master_options();
    options.threads = false;
    MemoryStorage master_storage;
    const auto master = Database::open(options, master_storage);
    static const std::vector<mutation::Item> items = {{1, some_day, 5}};
    for (int i = 0; i < 10; ++i) {
        const std::string id = "i" + std::to_string(i);
        master->call(Mutation(mutation::BeginStream{id, IngestMode::add, std::nullopt}));
        master->call(Mutation(mutation::AddChunk{id, "s", 1, items}));
        master->call(Mutation(mutation::CommitStream{id}));
    }
    const auto prune = [&](std::uint64_t limit) {
        const mutation::PruneStreams body{std::numeric_limits<std::int64_t>::max(), limit};
        return std::get<reply::Pruned>(master->call(Mutation(body))).deleted;
    };
    CHECK(prune(2) == 2);
    bool is_first = true;
    {
        const auto pin = master->pin_log(0);
        const auto read = [&] {
            master->read_state(*pin)->read([&](std::string_view) {
                if (std::exchange(is_first, false)) CHECK(prune(3) == 3);
            });
        };
        CHECK_THROWS_AS(read(), StorageError);
    }
    MemoryStorage slave_storage;
    auto slave = open_slave(slave_storage);
    install(*slave, pieces_of(*master));
    CHECK(slave->digest() == master->digest());
    CHECK(prune(1) == 1);
    catch_up(*master, *slave);
    CHECK(slave->digest() == master->digest());
    CHECK(slave->view().of<IngestStreams>().committed_count == 4);
    slave.reset();
    slave = open_slave(slave_storage);
    CHECK(slave->digest() == master->digest());
    const mutation::PruneStreams body{std::numeric_limits<std::int64_t>::max(), 1};
    CHECK(std::holds_alternative<Error>(slave->call(Mutation(body))));
}

TEST_CASE("replication: pieces that are damaged, missing or in another order are refused") {
    const FilledMaster master("damaged pieces", 2'000);
    MemoryStorage slave_storage;
    const auto slave = open_slave(slave_storage);
    const auto refuses = [&](const std::vector<std::string>& wrong) {
        CHECK_THROWS_AS(install(*slave, wrong), CorruptionError);
        CHECK(slave->last_lsn() == 0);
    };
    refuses({});
    refuses({master.pieces.begin() + 1, master.pieces.end()});
    refuses({master.pieces.begin(), master.pieces.end() - 1});
    for (std::size_t i = 0; i < master.pieces.size(); ++i) {
        CAPTURE(i);
        std::vector<std::string> cut = master.pieces;
        if (cut[i].size() > 1) {
            cut[i].pop_back();
            refuses(cut);
        }
    }
    for (const std::string& piece : master.pieces) {
        if (piece[0] != 'S') continue;
        StreamInfo stream = decode_stream(std::string_view(piece).substr(1));
        stream.lsn = master.database->last_lsn() + 1;  // after the end of the state
        std::vector<std::string> late = master.pieces;
        *std::ranges::find(late, piece) = "S" + encode_stream(stream);
        refuses(late);
    }
    std::vector<std::string> without_pages;
    for (const std::string& piece : master.pieces) {
        if (piece[0] != 'P') without_pages.push_back(piece);
    }
    refuses(without_pages);
    std::vector<std::string> twice = master.pieces;
    twice.insert(twice.end() - 1,
                 *std::ranges::find(twice, 'S', [](const std::string& piece) { return piece[0]; }));
    refuses(twice);
    install(*slave, master.pieces);
    CHECK(slave->digest() == master.database->digest());
}

TEST_CASE("replication: a state that cannot be put in place is no state to go on with, until one is") {
    const FilledMaster master("half installed", 3'000);
    for (std::uint64_t writes = 0; writes < 2; ++writes) {
        CAPTURE(writes);
        MemoryStorage storage;
        test::FaultyStorage faulty(storage);
        const auto slave = open_slave(faulty);
        slave->replicate(Event{1, 5, fact::Increment{"before", 1, some_day, 10}, {}});
        slave->commit_replicated();
        faulty.fail_after(1'000'000, writes);
        CHECK_THROWS_AS(install(*slave, master.pieces), StorageError);
        faulty.fail_after(1'000'000, 1'000'000);
        refuses_all_but_a_state(*slave);
        install(*slave, master.pieces);
        CHECK_FALSE(slave->has_failed());
        CHECK(std::get<reply::Health>(slave->call(query::Health{})).status == "ok");
        CHECK(slave->digest() == master.database->digest());
        slave->promote();
        const Mutation later = mutation::Increment{"later", 1, some_day, 1};
        CHECK(std::holds_alternative<reply::Number>(slave->call(later)));
    }
}

TEST_CASE("replication: nobody sees a state in storage while memory has the one before") {
    const FilledMaster master("at once", 300);
    MemoryStorage storage;
    WatchedStorage watched(storage);
    const auto slave = open_slave(watched);
    slave->replicate(Event{1, 5, fact::Increment{"before", 1, some_day, 10}, {}});
    slave->commit_replicated();
    const std::uint64_t before = slave->generation();
    std::promise<void> holds_memory;
    std::promise<void> end;
    std::promise<std::uint64_t> seen;
    std::vector<std::jthread> threads;
    watched.on_clear = [&] {
        // A request holds up the exchange of the state in memory, but not the one in storage.
        watched.on_log_bytes = [&, is_first = std::make_shared<std::atomic<bool>>(true)] {
            if (is_first->exchange(false)) {
                holds_memory.set_value();
                end.get_future().wait();
            }
        };
        threads.emplace_back([&] { static_cast<void>(slave->call(query::Stats{})); });
        holds_memory.get_future().wait();
        threads.emplace_back([&] {
            static_cast<void>(slave->first_kept_lsn());  // once the storage may be read
            seen.set_value(slave->generation());
        });
        threads.emplace_back([&] {
            // Who does not wait for memory has seen it by then.
            std::this_thread::sleep_for(std::chrono::milliseconds(200));
            end.set_value();
        });
    };
    install(*slave, master.pieces);
    CHECK(seen.get_future().get() == before + 2);  // one ends the old state's, one begins the new one's
    threads.clear();
    CHECK(slave->digest() == master.database->digest());
}

TEST_CASE("replication: a state that is cut short by a crash leaves nothing, and a master says so") {
    const FilledMaster master("cut short", 3'000);
    bool has_succeeded = false;
    for (std::uint64_t writes = 0; !has_succeeded; ++writes) {
        CAPTURE(writes);
        MemoryStorage storage;
        test::FaultyStorage faulty(storage);
        {
            const auto slave = open_slave(faulty);
            faulty.fail_after(1'000'000, writes);
            try {
                install(*slave, master.pieces);
                has_succeeded = true;
            } catch (const StorageError&) {
                CHECK(slave->last_lsn() == 0);
                refuses_all_but_a_state(*slave);
            }
        }
        if (!has_succeeded) {
            // Nothing of it was visible before the end of it.
            bool refused = false;
            try {
                const auto as_master = Database::open(master_options(), storage);
                CHECK(as_master->last_lsn() == 0);
            } catch (const StorageError& failure) {
                refused = true;
                CHECK(std::string(failure.what()).find("--role=slave") != std::string::npos);
            }
            CHECK((refused || writes == 0));
        }
        const auto slave = open_slave(storage);
        CHECK(slave->last_lsn() == (has_succeeded ? master.database->last_lsn() : 0));
        if (!has_succeeded) {
            install(*slave, master.pieces);
        }
        CHECK(slave->digest() == master.database->digest());
    }
}

TEST_CASE("replication: what is not whole is not read as if it were") {
    const test::TempDir directory;
    DatabaseOptions options = slave_options();
    options.directory = directory.path();
    Database::open(options);
    {
        RocksdbStorage storage({directory / "karma.db"});
        const RecordChange mark{Table::meta, installing_key, "1"};
        storage.write(std::span(&mark, 1), true);
    }
    CHECK_THROWS_AS(StoredDatabase(directory.path()), StorageError);
    options.read_only = false;
    CHECK_THROWS_AS(Database::open(options), StorageError);
    options.read_only = true;
    CHECK(Database::open(options)->restore_summary().find("cut short") != std::string::npos);
    CHECK_NOTHROW(StoredDatabase(directory.path()));
}

TEST_CASE("replication: a slave stores snapshots of its own, and drops the events before them") {
    MemoryStorage storage;
    DatabaseOptions options = slave_options();
    options.event_retention_bytes = 1;
    auto slave = open_slave(storage, options);
    for (Lsn lsn = 1; lsn <= 100; ++lsn) {
        slave->replicate(Event{lsn, 5, fact::Increment{"a", lsn, some_day, 1}, {}});
        slave->commit_replicated();
    }
    const Digest digest = slave->digest();
    CHECK(slave->save_snapshot_if_changed());
    CHECK(!slave->save_snapshot_if_changed());
    slave->hold_log(false);
    slave->apply_retention();
    CHECK(slave->first_kept_lsn() == 100);
    slave.reset();
    slave = open_slave(storage, options);
    CHECK(slave->digest() == digest);
}

TEST_CASE("replication: an event that does not follow is refused, and nothing of it is applied") {
    MemoryStorage storage;
    const auto slave = open_slave(storage);
    slave->replicate(Event{1, 5, fact::Increment{"a", 1, some_day, 10}, {}});
    CHECK_THROWS_AS(slave->replicate(Event{3, 5, fact::Increment{"a", 1, some_day, 1}, {}}), CorruptionError);
    CHECK_THROWS_AS(slave->replicate(Event{1, 5, fact::Increment{"a", 1, some_day, 1}, {}}), CorruptionError);
    CHECK_THROWS_AS(slave->replicate(Event{2, 5, mutation::DropSeries{"b"}, {}}), CorruptionError);
    CHECK_THROWS_AS(
        slave->replicate(Event{2, 5, fact::Increment{"a", 1, some_day, 18446744073709551615U}, {}}),
        CorruptionError);
    CHECK_THROWS_AS(slave->replicate(Event{2, 5, mutation::DropSeries{"a"}, "key"}), CorruptionError);
    slave->replicate(Event{2, 5, fact::Increment{"a", 1, some_day, 1}, "key"});
    slave->commit_replicated();
    CHECK(slave->sum("a", 1) == 11);
    CHECK(slave->durable_lsn() == 2);
}

TEST_CASE("replication: roles, epochs and what is known of others survive a restart") {
    MemoryStorage storage;
    const Mutation increment = mutation::Increment{"a", 1, some_day, 1};
    const auto error_of = [&](Database& database) -> std::string {
        const Reply reply = database.call(increment);
        const auto* const refused = std::get_if<Error>(&reply);
        return refused == nullptr ? "" : std::string(error_code_name(refused->code));
    };
    {
        const auto node = open_slave(storage);
        CHECK(error_of(*node) == "forbidden");
        const Epoch epoch = node->promote();
        CHECK(epoch.number == 1);
        CHECK(epoch.first_lsn == 1);
        CHECK(error_of(*node).empty());
        CHECK_THROWS_AS(node->promote(), RequestError);
    }
    {
        const auto node = open_slave(storage);  // it stays the master
        CHECK(node->role() == Role::master);
        CHECK(!node->fence({1, 0, 0}, node->database_id()));
        CHECK(node->fence({3, 9, 0}, node->database_id()));
        CHECK(node->role() == Role::fenced);
        CHECK(error_of(*node) == "replication_error");
    }
    {
        const auto node = Database::open(master_options(), storage);
        CHECK(node->role() == Role::fenced);
        CHECK(error_of(*node) == "replication_error");
    }
    auto node = open_slave(storage);
    CHECK(node->role() == Role::slave);
    CHECK(node->promote().number == 4);  // later than all that it knows of
    CHECK(error_of(*node).empty());
    CHECK(node->epochs().size() == 2);
    node->save_snapshot();
    const Epochs epochs = node->epochs();
    node.reset();
    node = open_slave(storage);
    CHECK(node->epochs() == epochs);
    CHECK(node->role() == Role::master);
}

TEST_CASE("replication: what followers of an earlier history had is no acknowledgement after a promotion") {
    MemoryStorage storage;
    DatabaseOptions options = slave_options();
    options.replication_min_acks = 1;
    const auto node = open_slave(storage, options);
    const std::uint64_t before = node->generation();
    node->set_acked_lsn(100, before);
    const Epoch epoch = node->promote();
    CHECK(epoch.first_lsn == 1);
    CHECK(node->acked_lsn() == 0);
    node->set_acked_lsn(100, before);
    CHECK(node->acked_lsn() == 0);
    node->set_acked_lsn(1, node->generation());
    CHECK(node->acked_lsn() == 1);
}

TEST_CASE("replication: there is no promotion after the last epoch of 64 bits") {
    MemoryStorage storage;
    // No node is told of an epoch so far ahead at once.
    const auto has_known = [&](std::uint64_t number) {
        const RecordChange known{Table::meta, "fenced_by", std::to_string(number) + " 5"};
        storage.write(std::span(&known, 1), true);
        const RecordChange id{Table::meta, "database_id", DatabaseId{5, 5}.text()};
        storage.write(std::span(&id, 1), true);
        return open_slave(storage);
    };
    std::unique_ptr<Database> node;
    SUBCASE("that another node has told of") { node = has_known(largest); }
    SUBCASE("that this node was in") {
        node = has_known(largest - 1);
        CHECK(node->promote().number == largest);
        node->fence({largest, largest, 0}, node->database_id());
        node->demote();
    }
    const Epochs before = node->epochs();
    CHECK_THROWS_AS(node->promote(), RequestError);
    CHECK(node->epochs() == before);
}

TEST_CASE("replication: who has no database yet takes note of no epoch, and forgets those of before") {
    MemoryStorage storage;
    const auto node = open_slave(storage);
    const Reply reply = node->call(control::Fence{1'001, 1, {5, 5}});
    REQUIRE(std::holds_alternative<reply::FenceAnswer>(reply));
    CHECK(std::get<reply::FenceAnswer>(reply).epoch.number == 0);
    CHECK(node->known_epoch().number == 0);
    CHECK_FALSE(node->fence({2, 1, 0}, node->database_id()));
    CHECK(node->known_epoch().number == 0);
    node->adopt_database_id({5, 5});
    CHECK(node->known_epoch().number == 0);
    node->fence({2, 1, 0}, {5, 5});
    CHECK(node->known_epoch().number == 2);
}

TEST_CASE("replication: an epoch that was noted before there was a database is not one of it") {
    MemoryStorage storage;
    // As versions before have noted it.
    const RecordChange known = meta_numbers_change("fenced_by", {1'001, 1});
    storage.write(std::span(&known, 1), true);
    auto node = open_slave(storage);
    CHECK(node->known_epoch().number == 0);
    SUBCASE("which it takes from an empty master") { node->adopt_database_id({5, 5}); }
    SUBCASE("whose state it takes") { install(*node, FilledMaster("epochs of nothing", 10).pieces); }
    CHECK(node->known_epoch().number == 0);
    node.reset();
    CHECK(open_slave(storage)->known_epoch().number == 0);
}

TEST_CASE(
    "replication: an epoch that is named while a state is put in place is of what is there before or after") {
    struct Watching final : test::ForwardingStorage {
        using ForwardingStorage::ForwardingStorage;
        void clear(std::span<const RecordChange> records) override {
            if (before) before();
            ForwardingStorage::clear(records);
            if (after) after();
        }
        std::function<void()> before;
        std::function<void()> after;
    };
    MemoryStorage under;
    Database::open(master_options(), under)->increment("s", 1, 5, some_day);
    Watching storage(under);
    auto node = open_slave(storage);
    const DatabaseId replaced = node->database_id();
    std::optional<Reply> answer;
    std::atomic<bool> has_answered{false};
    std::thread naming;
    const auto name_epoch = [&] {
        naming = std::thread([&] {
            answer = node->call(control::Fence{7, 1, replaced});
            has_answered = true;
        });
        // Who does not wait for the state is noted now.
        for (int i = 0; i < 100 && !has_answered; ++i) {
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
    };
    Replacement replacement;
    std::vector<std::string> pieces;
    std::uint64_t known = 7;
    SUBCASE("of the same database") {
        storage.before = name_epoch;
        pieces = pieces_of(*node);
    }
    SUBCASE("of another one, which an order puts there") {
        storage.after = name_epoch;
        pieces = FilledMaster("epochs of a replaced database", 10).pieces;
        replacement.order = "once";
        known = 0;
    }
    const auto writer = node->write_state(node->idempotency_retention());
    for (const std::string& piece : pieces) writer->add(piece);
    writer->install(replacement);
    naming.join();
    CHECK(node->known_epoch().number == known);
    CHECK(std::holds_alternative<Error>(*answer) == (known == 0));
    node.reset();
    CHECK(open_slave(under)->known_epoch().number == known);
}

TEST_CASE("replication: an epoch of another database is refused, whoever names it") {
    MemoryStorage storage;
    const auto node = Database::open(master_options(), storage);
    CHECK_THROWS_AS(node->fence({3, 9, 0}, {5, 5}), RequestError);
    CHECK(node->role() == Role::master);
    CHECK(node->known_epoch().number == 0);
}

TEST_CASE("replication: a node without an event log begins no epoch, and says which option is in the way") {
    MemoryStorage storage;
    DatabaseOptions options = master_options();
    options.wal = false;
    const auto node = Database::open(options, storage);
    node->increment("s", 1, 5, some_day);
    node->fence({3, 9, 0}, node->database_id());
    REQUIRE(node->role() == Role::fenced);
    try {
        node->promote();
        FAIL("it was promoted");
    } catch (const RequestError& refused) {
        CHECK(refused.code() == ErrorCode::validation_error);
        CHECK(std::string(refused.what()).find("--wal=false") != std::string::npos);
    }
    CHECK(node->role() == Role::fenced);
}

TEST_CASE("replication: those that follow begin anew when a node takes the id of another database") {
    MemoryStorage storage;
    const auto node = open_slave(storage);
    const std::uint64_t before = node->generation();
    node->adopt_database_id({5, 5});
    const std::uint64_t adopted = node->generation();
    CHECK(adopted != before);
    node->adopt_database_id({5, 5});
    CHECK(node->generation() == adopted);
}

TEST_CASE("replication: a node that hears of a later epoch while it is promoted is no master") {
    struct Meddling final : test::ForwardingStorage {
        using ForwardingStorage::ForwardingStorage;
        void write(std::span<const RecordChange> records, bool sync) override {
            if (const auto now = std::exchange(meanwhile, nullptr)) {
                now();
            }
            ForwardingStorage::write(records, sync);
        }
        std::function<void()> meanwhile;
    };
    MemoryStorage under;
    Meddling storage(under);
    DatabaseOptions options;
    options.read_only = true;
    options.threads = false;  // nobody else writes
    const auto node = Database::open(options, storage);
    storage.meanwhile = [&] { node->fence({99, 1, 0}, node->database_id()); };
    CHECK(node->promote().number == 1);
    CHECK(node->role() == Role::fenced);
}
}  // namespace karma::test
