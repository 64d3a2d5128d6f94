#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "engine/event_codec.h"
#include "persist/database.h"
#include "persist/hash_seed.h"
#include "persist/memory_storage.h"
#include "persist/stored_database.h"
#include "persist/verifier.h"
#include "tests/support/temp_dir.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

/// A storage with three snapshots, a log, records and streams.
void fill(Storage& storage, Digest& digest) {
    const auto database = Database::open({}, storage);
    for (int i = 0; i < 3; ++i) {
        const std::string key = "key" + std::to_string(i);
        const Mutation body = mutation::Increment{"links", 1, some_day, 2};
        database->call(Request(KeyedMutation{&body, key, {}}));
        database->increment("other", 5, 1, some_day);
        const std::string id = "s" + std::to_string(i);
        const std::vector<mutation::Item> items = {{1, some_day, 1}};
        database->call(Mutation(mutation::BeginStream{id, IngestMode::add, {}}));
        database->call(Mutation(mutation::AddChunk{id, "links", 1, items}));
        if (i != 2) {
            database->call(Mutation(mutation::CommitStream{id}));
        }
        database->save_snapshot();
    }
    database->increment("links", 1, 1, some_day);
    digest = database->digest();
}

Verification verify(const Storage& storage) {
    const SnapshotStore snapshots(const_cast<Storage&>(storage));
    double last = 0;
    Verification found = Verifier(storage, snapshots, read_hash_seed(storage).value(), [&](double done) {
                             CHECK(done >= last);
                             last = done;
                         }).run();
    CHECK(last == 1);
    return found;
}

std::string nth_key(const Storage& storage, Table table, std::string_view prefix, std::size_t number) {
    std::vector<std::string> keys;
    storage.scan(table, prefix, [&](std::string_view key, std::string_view) {
        keys.emplace_back(key);
        return true;
    });
    REQUIRE(number < keys.size());
    return keys[number];
}

void flip(Storage& storage, Table table, const std::string& key) {
    std::string value = storage.read(table, key).value();
    value[value.size() / 2] = static_cast<char>(value[value.size() / 2] ^ 1);
    const RecordChange change{table, key, value};
    storage.write(std::span(&change, 1), true);
}

}  // namespace

TEST_CASE("verify: sound data, from every snapshot and from the log alone") {
    MemoryStorage storage;
    Digest digest;
    fill(storage, digest);
    const Verification found = verify(storage);
    CHECK(found.is_sound());
    CHECK(found.digest == digest.text());
    CHECK(found.rebuilt == 4);
    CHECK(found.snapshots == 3);
    CHECK(found.events == 15);
    CHECK(found.idempotency_records == 3);
    CHECK(found.committed_streams == 2);
    CHECK(found.series == 2);
}

TEST_CASE("verify: an empty database is sound") {
    MemoryStorage storage;
    Database::open({}, storage);
    const Verification found = verify(storage);
    CHECK(found.is_sound());
    CHECK(found.rebuilt == 1);
}

TEST_CASE("verify: damage of each kind is named") {
    MemoryStorage storage;
    Digest digest;
    fill(storage, digest);
    const char* named = "";
    SUBCASE("a page") {
        flip(storage, Table::snapshots, nth_key(storage, Table::snapshots, "g", 1));
        named = "snapshot page 2";
    }
    SUBCASE("a page list") {
        flip(storage, Table::snapshots, nth_key(storage, Table::snapshots, "l", 0));
        named = "page list of snapshot 1";
    }
    SUBCASE("a manifest") {
        flip(storage, Table::snapshots, nth_key(storage, Table::snapshots, "m", 1));
        named = "snapshot manifest 2";
    }
    SUBCASE("an idempotency record") {
        const std::string key = nth_key(storage, Table::idempotency, "", 0);
        const RecordChange change{Table::idempotency, key, "rubbish"};
        storage.write(std::span(&change, 1), true);
        named = "dempotency";
    }
    SUBCASE("a stream") {
        const std::string key = nth_key(storage, Table::streams, "", 0);
        const RecordChange change{Table::streams, key, "rubbish"};
        storage.write(std::span(&change, 1), true);
        named = "ingest stream \"s0\"";
    }
    SUBCASE("an event") {
        storage.append({storage.next_lsn(), 1, "rubbish"}, {}, true);
        named = "group at LSN 16";
    }
    SUBCASE("events that are missing") {
        EventGroupBuilder builder;
        builder.add({20, 0, fact::Increment{"links", 1, some_day, 1}});
        std::string bytes;
        builder.finish(bytes);
        storage.skip_to(20);
        storage.append({20, 1, bytes}, {}, true);
        named = "the events from LSN 16 to 19 are missing";
    }
    SUBCASE("an event that is another one than it was") {
        // Replaying the log gives another state than the snapshots have.
        MemoryStorage other;
        storage.scan(Table::snapshots, "", [&](std::string_view key, std::string_view value) {
            const RecordChange change{Table::snapshots, std::string(key), std::string(value)};
            other.write(std::span(&change, 1), true);
            return true;
        });
        storage.scan(Table::streams, "", [&](std::string_view key, std::string_view value) {
            const RecordChange change{Table::streams, std::string(key), std::string(value)};
            other.write(std::span(&change, 1), true);
            return true;
        });
        const RecordChange seed{Table::meta, "hash_seed", storage.read(Table::meta, "hash_seed")};
        other.write(std::span(&seed, 1), true);
        storage.read_log(0, [&](const EventGroup& group) {
            EventGroupBuilder builder;
            read_event_group(group.bytes, [&](const Event& event) {
                Event changed = event;
                if (event.lsn == 2) {
                    changed.body = fact::Increment{"other", 5, some_day, 2};
                }
                builder.add(changed);
            });
            std::string bytes;
            builder.finish(bytes);
            other.append({group.first_lsn, group.count, bytes}, {}, true);
            return true;
        });
        const Verification found = verify(other);
        REQUIRE(found.damage.size() == 1);
        CHECK(found.damage.front().find("is another one") != std::string::npos);
        return;
    }
    const Verification found = verify(storage);
    REQUIRE_FALSE(found.is_sound());
    bool is_named = false;
    for (const std::string& damage : found.damage) {
        is_named = is_named || damage.find(named) != std::string::npos;
    }
    CAPTURE(found.damage.front());
    CHECK(is_named);
}

TEST_CASE("verify: a time without a log is no damage") {
    MemoryStorage storage;
    Database::open({}, storage)->increment("links", 1, 1, some_day);
    {
        DatabaseOptions options;
        options.wal = false;
        const auto database = Database::open(options, storage);
        database->increment("links", 1, 1, some_day);
        database->save_snapshot();
    }
    Database::open({}, storage)->increment("links", 1, 1, some_day);
    const Verification found = verify(storage);
    CHECK(found.is_sound());
    CHECK(found.last_lsn == 3);
}

TEST_CASE("verify: from an older snapshot of a time without a log nothing has to lead to the newest") {
    MemoryStorage storage;
    Database::open({}, storage)->increment("links", 1, 1, some_day);
    {
        DatabaseOptions options;
        options.wal = false;
        const auto database = Database::open(options, storage);
        for (int i = 0; i < 2; ++i) {
            database->increment("links", 1, 1, some_day);
            database->save_snapshot();
        }
    }
    SUBCASE("the log ends before it") {}
    SUBCASE("the log goes on after it") { Database::open({}, storage)->increment("links", 1, 1, some_day); }
    const Verification found = verify(storage);
    CHECK(found.damage == std::vector<std::string>());
    CHECK(found.rebuilt == 1);
    CHECK(found.last_lsn >= 3);
}

TEST_CASE("stored database: reading changes no file") {
    const test::TempDir directory;
    DatabaseOptions options;
    options.directory = directory.path();
    Digest digest;
    {
        const auto database = Database::open(options);
        database->increment("links", 1, 1, some_day);
        database->save_snapshot();
        database->increment("links", 1, 1, some_day);
        digest = database->digest();
        CHECK_THROWS_WITH(StoredDatabase(directory.path()), doctest::Contains("in use by another process"));
    }
    const auto contents = [&] {
        std::vector<std::pair<std::string, std::filesystem::file_time_type>> files;
        for (const auto& entry : std::filesystem::recursive_directory_iterator(directory.path())) {
            if (entry.path().filename() != "karma.lock") {
                files.emplace_back(entry.path().string() + " " +
                                       std::to_string(entry.is_regular_file() ? entry.file_size() : 0),
                                   entry.last_write_time());
            }
        }
        std::sort(files.begin(), files.end());
        return files;
    };
    const auto before = contents();
    {
        StoredDatabase stored(directory.path());
        CHECK(
            Verifier(stored.storage(), stored.snapshots(), stored.hash_seed(), [](double) {}).run().digest ==
            digest.text());
        const RecordChange change{Table::meta, "x", "y"};
        CHECK_THROWS_AS(const_cast<Storage&>(stored.storage()).write(std::span(&change, 1), true),
                        StorageError);
    }
    CHECK(contents() == before);
    const test::TempDir other;
    CHECK_THROWS_WITH(StoredDatabase(other.path()), doctest::Contains("holds no database"));
    CHECK(std::filesystem::is_empty(other.path()));
    CHECK(Database::open(options)->digest() == digest);
}

}  // namespace karma::test
