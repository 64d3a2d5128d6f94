// Which database it is, which node holds it, and in whose epoch it appends.
#include <functional>
#include <memory>
#include <string>

#include <doctest/doctest.h>

#include "engine/error.h"
#include "engine/event_codec.h"
#include "persist/database.h"
#include "persist/history_marks.h"
#include "persist/memory_storage.h"
#include "tests/persist/faulty_storage.h"
#include "tests/support/temp_dir.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

std::unique_ptr<Database> open_at(Storage& storage, const std::string& place, bool is_slave = false,
                                  DatabaseOptions options = {}) {
    options.threads = false;
    options.clock_ms = [] { return std::int64_t{1'780'000'000'000}; };
    options.place = place;
    options.read_only = is_slave;
    return Database::open(options, storage);
}

// All that a storage holds, in another one: a copy of a directory.
void copy(const Storage& from, Storage& to) {
    from.read_log(1, [&](const EventGroup& group) {
        to.append(group, {}, true);
        return true;
    });
    for (const Table table : {Table::meta, Table::snapshots, Table::idempotency, Table::streams}) {
        from.scan(table, "", [&](std::string_view key, std::string_view value) {
            const RecordChange change{table, std::string(key), std::string(value)};
            to.write(std::span(&change, 1), true);
            return true;
        });
    }
}

std::string refusal_of(const std::function<void()>& work) {
    try {
        work();
    } catch (const RequestError& refused) {
        return refused.what();
    }
    return {};
}

}  // namespace

TEST_CASE("identity: a database and its node keep their ids, and snapshots say whose they are") {
    MemoryStorage storage;
    DatabaseId id;
    NodeId node = 0;
    {
        const auto database = open_at(storage, "here");
        id = database->database_id();
        node = database->node_id();
        CHECK(id.is_known());
        CHECK(node != 0);
        CHECK(DatabaseId::from_text(id.text()) == id);
        database->increment("a", 1);
        CHECK(database->last_lsn() == 1);
    }
    const auto database = open_at(storage, "here");
    CHECK(database->database_id() == id);
    CHECK(database->node_id() == node);
    CHECK(database->copy_warning().empty());
    CHECK(database->epochs().empty());
    MemoryStorage other;
    CHECK(open_at(other, "here")->database_id() != id);
}

TEST_CASE("identity: a follower draws no database id, and takes that of its master") {
    MemoryStorage storage;
    {
        const auto database = open_at(storage, "here", true);
        CHECK(!database->database_id().is_known());
        database->adopt_database_id({1, 2});
        CHECK(database->database_id() == DatabaseId{1, 2});
    }
    CHECK(open_at(storage, "here", true)->database_id() == DatabaseId{1, 2});
}

TEST_CASE("identity: a copy of an empty database begins an epoch of its own as well") {
    MemoryStorage original;
    MemoryStorage copied;
    open_at(original, "here");
    copy(original, copied);
    const auto first = open_at(original, "here");
    const auto second = open_at(copied, "there");
    REQUIRE(first->database_id() == second->database_id());
    CHECK(first->epochs().empty());
    REQUIRE(second->epochs().size() == 1);
    CHECK(second->epochs()[0].node == second->node_id());
}

TEST_CASE("identity: a start that cannot write its epoch says what the disk has said") {
    MemoryStorage original;
    MemoryStorage copied;
    open_at(original, "here")->increment("a", 1);
    copy(original, copied);
    FaultyStorage storage(copied);
    storage.fail_after(0, 100);
    CHECK_THROWS_WITH_AS(open_at(storage, "there"),
                         "the event log cannot be written: no space left on device (made up by the test)",
                         StorageError);
    storage.heal();
    CHECK(open_at(storage, "there")->epochs().size() == 1);
}

TEST_CASE("identity: a master that becomes a follower keeps its idempotency limits until it hears others") {
    MemoryStorage storage;
    DatabaseOptions options;
    options.idempotency.records_max = 50;
    open_at(storage, "here", false, options)->increment("a", 1);
    options.idempotency.records_max = 3;
    CHECK(open_at(storage, "here", true, options)->idempotency_retention().records_max == 50);
    CHECK(open_at(storage, "here", false, options)->idempotency_retention().records_max == 3);
    options.idempotency.records_max = 50;
    CHECK(open_at(storage, "here", true, options)->idempotency_retention().records_max == 3);
}

TEST_CASE("identity: a copy is another node, and as a master begins an epoch of its own") {
    MemoryStorage original;
    MemoryStorage copied;
    NodeId node = 0;
    {
        const auto database = open_at(original, "here");
        database->increment("a", 1);
        node = database->node_id();
    }
    copy(original, copied);
    {
        const auto database = open_at(copied, "there");
        CHECK(database->role() == Role::master);
        CHECK(database->node_id() != node);
        CHECK(!database->copy_warning().empty());
        REQUIRE(database->epochs().size() == 1);
        CHECK(database->epochs()[0].number == 1);
        CHECK(database->epochs()[0].node == database->node_id());
        CHECK(database->last_lsn() == 2);
        node = database->node_id();
    }
    const auto again = open_at(copied, "there");
    CHECK(again->node_id() == node);
    CHECK(again->epochs().size() == 1);
    CHECK(open_at(original, "here")->epochs().empty());
}

TEST_CASE("identity: a copy of a promoted node that is started as a follower is none") {
    MemoryStorage original;
    MemoryStorage copied;
    {
        const auto database = open_at(original, "here", true);
        database->promote();
        CHECK(database->epochs().back().node == database->node_id());
    }
    copy(original, copied);
    CHECK(open_at(original, "here", true)->role() == Role::master);
    CHECK(open_at(copied, "there", true)->role() == Role::slave);
    // As a master it does not go on in the epoch of the original.
    const auto master = open_at(copied, "there");
    CHECK(master->epochs().size() == 2);
    CHECK(master->epochs().back().node == master->node_id());
}

TEST_CASE("identity: a follower that is started as a master does not append in its master's epoch") {
    MemoryStorage storage;
    {
        const auto database = open_at(storage, "here", true);
        database->adopt_database_id({1, 2});
        EventGroupBuilder group;
        const Fact create = fact::CreateSeries{"a"};
        group.add({1, 1'780'000'000'000, create, {}});
        std::string bytes;
        group.finish(bytes);
        database->replicate(bytes, std::nullopt);
        database->commit_replicated();
    }
    const auto master = open_at(storage, "here");
    CHECK(master->role() == Role::master);
    CHECK(master->epochs().size() == 1);
    CHECK(master->database_id() == DatabaseId{1, 2});
}

TEST_CASE("identity: a log that may have lost what followers have goes on in a new epoch") {
    MemoryStorage storage;
    MemoryStorage crashed;
    DatabaseOptions options;
    options.wal_fsync = false;
    SUBCASE("not where each event was synced") { options.wal_fsync = true; }
    SUBCASE("where it was not"){} {
        const auto database = open_at(storage, "", false, options);
        database->increment("a", 1);
        const auto pin = database->pin_log(0);
        database->increment("a", 2);
        copy(storage, crashed);
    }
    CHECK(open_at(storage, "", false, options)->epochs().empty());  // after a clean end
    const std::size_t epochs = options.wal_fsync ? 0 : 1;
    {
        const auto database = open_at(crashed, "", false, options);
        CHECK(database->epochs().size() == epochs);
        CHECK(database->copy_warning().empty() == (epochs == 0));
    }
    CHECK(open_at(crashed, "", false, options)->epochs().size() == epochs);
}

TEST_CASE("identity: a promotion begins one more than every epoch that was ever told") {
    MemoryStorage storage;
    {
        const auto database = open_at(storage, "here", true);
        database->adopt_database_id({6, 6});
        CHECK(database->fence({7, 70, 0}, database->database_id()));
        CHECK(!refusal_of([&] { database->fence({1'000'008, 1, 0}, database->database_id()); }).empty());
        CHECK(database->known_epoch().number == 7);
    }
    const auto database = open_at(storage, "here", true);
    CHECK(database->known_epoch() == Epoch{7, 70, 0});
    CHECK(database->promote().number == 8);
    const Reply reply = database->call(control::Fence{3, 1, {}});
    const auto& answer = std::get<reply::FenceAnswer>(reply);
    CHECK(answer.role == "master");
    CHECK(answer.epoch.number == 8);
    const Reply later = database->call(control::Fence{20, 1, {}});
    CHECK(std::get<reply::FenceAnswer>(later).role == "slave");
    CHECK(std::get<reply::FenceAnswer>(later).epoch.number == 20);
    CHECK(database->role() == Role::fenced);
    // Of another database it is none.
    const Reply stranger = database->call(control::Fence{30, 1, {5, 5}});
    CHECK(std::holds_alternative<Error>(stranger));
    CHECK(database->known_epoch().number == 20);
}

TEST_CASE("identity: events of versions whose epochs name no node keep their checksums") {
    const Fact old = fact::StartEpoch{3, 9};
    const Fact named = fact::StartEpoch{3, 9, 77};
    for (const Fact& body : {old, named}) {
        EventGroupBuilder group;
        group.add({5, 1'780'000'000'000, body, {}});
        std::string bytes;
        group.finish(bytes);
        read_event_group(bytes, [&](const Event& event) {
            const auto& epoch = std::get<fact::StartEpoch>(event.body);
            CHECK(epoch.id == 9);
            CHECK(epoch.node == std::get<fact::StartEpoch>(body).node);
            CHECK(checksum_of(event) == checksum_of({5, 1'780'000'000'000, body, {}}));
        });
    }
}

TEST_CASE("identity: the marks of removed events are few, and last") {
    HistoryMarks marks;
    const auto checksum_of_lsn = [](Lsn lsn) {
        return lsn % 7 == 0 ? std::nullopt : std::optional(static_cast<std::uint32_t>(lsn * 3));
    };
    for (Lsn end = 100; end <= 1'000'000; end = end * 3 / 2) {
        marks.extend(1, end, checksum_of_lsn);
        CHECK(marks.size() <= HistoryMarks::marks_max);
    }
    CHECK(marks.spacing() > 1);
    CHECK(marks.size() > HistoryMarks::marks_max / 4);
    const Lsn known = marks.spacing() * 8;
    CHECK(marks.checksum_at(known) == known * 3);
    CHECK(!marks.checksum_at(known + 1));
    CHECK(!marks.checksum_at(marks.spacing() * 7));
    const HistoryMarks read = HistoryMarks::decoded(marks.encoded());
    CHECK(read.encoded() == marks.encoded());
    CHECK_THROWS_AS(HistoryMarks::decoded("123"), CorruptionError);
    CHECK_THROWS_AS(HistoryMarks::decoded(std::string(20, '\0')), CorruptionError);
    CHECK_THROWS_AS(HistoryMarks::decoded(marks.encoded() + std::string(12, '\0')), CorruptionError);
}

TEST_CASE("identity: a trimmed log leaves marks, which a state takes along") {
    MemoryStorage storage;
    DatabaseOptions options;
    options.event_retention_bytes = 1;
    const auto database = open_at(storage, "here", false, options);
    for (std::uint64_t i = 1; i <= 50; ++i) database->increment("a", i);
    const HistoryMark before = database->mark_at(20);
    REQUIRE(before.checksum);
    database->save_snapshot();
    database->apply_retention();
    REQUIRE(database->first_kept_lsn() > 21);
    CHECK(database->mark_at(20) == before);
    MemoryStorage other;
    const auto follower = open_at(other, "there", true);
    const auto pin = database->pin_log(0);
    const auto writer = follower->write_state(IdempotencyRetention{5, 6});
    database->read_state(*pin)->read([&](std::string_view piece) { writer->add(piece); });
    Replacement replacement;
    SUBCASE("of the database that was told of, and whole") {
        replacement.database_id = database->database_id();
        writer->install(replacement);
        CHECK(follower->database_id() == database->database_id());
        CHECK(follower->mark_at(20) == before);
        CHECK(follower->mark_at(50) == database->mark_at(50));
        CHECK(follower->idempotency_retention().records_max == 5);
    }
    SUBCASE("of another one") {
        replacement.database_id = {1, 1};
        CHECK_THROWS_AS(writer->install(replacement), CorruptionError);
        CHECK(follower->is_empty());
    }
    SUBCASE("of a lower LSN") {
        replacement.lsn_min = 51;
        CHECK_THROWS_AS(writer->install(replacement), CorruptionError);
    }
    SUBCASE("not without what has to be done before") {
        replacement.before = [] { throw StorageError("disk full"); };
        CHECK_THROWS_AS(writer->install(replacement), StorageError);
        CHECK(!follower->has_failed());
    }
}

TEST_CASE(
    "identity: the limits of a master hold after a restart of its follower, and an order is used once") {
    MemoryStorage storage;
    const Mutation body = mutation::Increment{"a", 1, 739'000, 1};
    {
        const auto master = open_at(storage, "here");
        for (int i = 0; i < 10; ++i) {
            const std::string key = "k" + std::to_string(i);
            const KeyedMutation request{&body, key, {}};
            master->call(request);
        }
    }
    {
        const auto follower = open_at(storage, "here", true);
        follower->use_idempotency_retention({100, 1000});
        CHECK(!follower->is_order_used("x"));
    }
    DatabaseOptions smaller;
    smaller.idempotency.records_max = 3;
    const auto follower = open_at(storage, "here", true, smaller);
    CHECK(follower->idempotency_retention().records_max == 100);
    CHECK(follower->view().of<IdempotencyIndex>().record_count == 10);
}

TEST_CASE("identity: retention removes nothing while it is not known whether the master has it") {
    MemoryStorage storage;
    DatabaseOptions options;
    options.event_retention_bytes = 1;
    {
        const auto database = open_at(storage, "here", false, options);
        for (std::uint64_t i = 1; i <= 50; ++i) database->increment("a", i);
        database->save_snapshot();
    }
    const auto follower = open_at(storage, "here", true, options);
    follower->apply_retention();
    CHECK(follower->first_kept_lsn() == 1);
    follower->hold_log(false);
    follower->apply_retention();
    CHECK(follower->first_kept_lsn() == 50);
}

TEST_CASE("identity: by order the database is moved aside whole, and the order counts once") {
    const TempDir of_master;
    const TempDir directory;
    DatabaseOptions options;
    options.threads = false;
    options.directory = of_master.path();
    const auto master = Database::open(options);
    master->increment("theirs", 1, 5);
    options.directory = directory.path();
    {
        const auto own = Database::open(options);
        own->increment("mine", 1, 7);
    }
    options.read_only = true;
    std::filesystem::path aside;
    {
        const auto follower = Database::open(options);
        const auto pin = master->pin_log(0);
        const auto writer = follower->write_state(IdempotencyRetention());
        master->read_state(*pin)->read([&](std::string_view piece) { writer->add(piece); });
        Replacement replacement;
        replacement.order = "first";
        aside = writer->install(replacement);
        CHECK(follower->sum("theirs", 1) == 5);
        CHECK(follower->is_order_used("first"));
        CHECK(!follower->is_order_used(follower->unused_order()));
    }
    CHECK(Database::open(options)->is_order_used("first"));
    REQUIRE(std::filesystem::exists(aside));
    CHECK(aside.filename().string().starts_with("karma.db.discarded-"));
    // It is a database.
    const TempDir elsewhere;
    std::filesystem::rename(aside, elsewhere.path() / "karma.db");
    options.directory = elsewhere.path();
    options.read_only = false;
    CHECK(Database::open(options)->sum("mine", 1) == 7);
}

TEST_CASE("identity: by order a database in memory is put aside whole, as files") {
    const TempDir of_master;
    const TempDir directory;
    DatabaseOptions options;
    options.threads = false;
    options.directory = of_master.path();
    const auto master = Database::open(options);
    master->increment("theirs", 1, 5);
    options.directory = directory.path();
    options.storage = StorageKind::memory;
    std::filesystem::path aside;
    {
        const auto own = Database::open(options);
        const Mutation body = mutation::Increment{"mine", 1, some_day, 7};
        own->call(KeyedMutation{&body, "key", ""});
        own->save_snapshot();
        for (std::uint64_t i = 1; i <= 2'500; ++i) {
            own->increment("mine", i + 1, i);
        }
        const auto pin = master->pin_log(0);
        const auto writer = own->write_state(IdempotencyRetention());
        master->read_state(*pin)->read([&](std::string_view piece) { writer->add(piece); });
        Replacement replacement;
        replacement.order = "first";
        aside = writer->install(replacement);
        CHECK(own->sum("theirs", 1) == 5);
    }
    REQUIRE(aside.filename().string().starts_with("karma.db.discarded-"));
    const TempDir elsewhere;
    std::filesystem::rename(aside, elsewhere.path() / "karma.db");
    options.directory = elsewhere.path();
    options.storage = StorageKind::rocksdb;
    const auto kept = Database::open(options);
    CHECK(kept->last_lsn() == 2'501);
    CHECK(kept->sum("mine", 1) == 7);
    CHECK(kept->sum("mine", 2'501) == 2'500);
    const Mutation body = mutation::Increment{"mine", 1, some_day, 7};
    kept->call(KeyedMutation{&body, "key", ""});
    CHECK(kept->sum("mine", 1) == 7);
}

}  // namespace karma::test
