#include <atomic>
#include <filesystem>
#include <functional>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <msgpack.hpp>

#include "engine/error.h"
#include "persist/database.h"
#include "persist/keys.h"
#include "persist/memory_storage.h"
#include "persist/page_store.h"
#include "persist/snapshot_store.h"
#include "tests/persist/faulty_storage.h"
#include "tests/persist/refusal.h"
#include "tests/support/settings.h"
#include "tests/support/temp_dir.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

/// A clock that stands still until it is moved.
struct Clock {
    std::atomic<std::int64_t> now_ms = 1'777'000'000'000;  // the housekeeper reads it too
};

DatabaseOptions options_with(const Clock& clock) {
    DatabaseOptions options;
    options.clock_ms = [&clock] { return clock.now_ms.load(); };
    options.snapshot_interval_s = 0;  // the clock is moved by hours
    return options;
}

std::vector<std::string> keys_of(const Storage& storage, std::string_view prefix) {
    std::vector<std::string> keys;
    storage.scan(Table::snapshots, prefix, [&](std::string_view key, std::string_view) {
        keys.emplace_back(key);
        return true;
    });
    return keys;
}

std::size_t count(const Storage& storage, std::string_view prefix) { return keys_of(storage, prefix).size(); }

void put(Storage& storage, const std::string& key, std::optional<std::string> value) {
    const RecordChange change{Table::snapshots, key, std::move(value)};
    storage.write(std::span(&change, 1), true);
}

void flip_a_bit(Storage& storage, const std::string& key) {
    std::string value = storage.read(Table::snapshots, key).value();
    value.back() = static_cast<char>(value.back() ^ 1);
    put(storage, key, value);
}

void add_keys(Database& database, const std::string& series, std::uint64_t keys, std::uint64_t value) {
    std::vector<mutation::Item> items;
    for (std::uint64_t key = 0; key < keys; ++key) {
        items.push_back({key, some_day, value});
    }
    database.call(Mutation(mutation::BatchAdd{series, items}));
}

/// Fails where a manifest is written, when it is told to.
class ManifestRefusingStorage final : public test::ForwardingStorage {
public:
    using ForwardingStorage::ForwardingStorage;

    void write(std::span<const RecordChange> records, bool sync) override {
        for (const RecordChange& record : records) {
            if (refuse && record.table == Table::snapshots && record.key.starts_with('m')) {
                throw StorageError("no space left on device (made up by the test)");
            }
        }
        ForwardingStorage::write(records, sync);
    }

    std::atomic<bool> refuse{false};
};

/// Comes when it was asked so many times.
class CountedDeadline final : public Deadline {
public:
    explicit CountedDeadline(std::uint64_t asked_max) : left_(asked_max) {}

protected:
    bool expired() const override { return is_cancelled() || left_-- == 0; }
    bool is_cancelled() const override { return left_ == std::numeric_limits<std::uint64_t>::max(); }

private:
    mutable std::uint64_t left_;
};

std::vector<std::string> names_of(Database& database) {
    return std::get<reply::SnapshotNames>(database.call(query::Snapshots{})).files;
}

}  // namespace

TEST_CASE("snapshots: one that is given up at any point leaves nothing, and the next one has everything") {
    for (const bool wal : {true, false}) {
        CAPTURE(wal);
        MemoryStorage disk;
        const Clock clock;
        DatabaseOptions options = options_with(clock);
        options.wal = wal;
        options.threads = false;
        auto database = Database::open(options, disk);
        add_keys(*database, "links", 5'000, 3);
        database->save_snapshot();
        add_keys(*database, "links", 3'000, 4);
        add_keys(*database, "others", 10, 4);
        const Digest digest = database->digest();
        const std::vector<std::string> names = names_of(*database);
        const std::vector<std::string> keys = keys_of(disk, "");
        std::uint64_t given_up = 0;
        for (bool is_saved = false; !is_saved; ++given_up) {
            CAPTURE(given_up);
            const CountedDeadline deadline(given_up);
            try {
                database->save_snapshot(deadline);
                is_saved = true;
            } catch (const RequestError& refused) {
                CHECK(refused.what() == std::string("Cancelled: the daemon is stopping"));
                REQUIRE(names_of(*database) == names);
                REQUIRE(keys_of(disk, "") == keys);
                REQUIRE(std::get<reply::Health>(database->call(query::Health{})).status == "ok");
            }
        }
        CHECK(given_up > 10);
        CHECK(keys_of(disk, "m").size() == 2);
        CHECK(database->digest() == digest);
        CHECK(std::holds_alternative<reply::Verified>(database->call(query::VerifySnapshots{})));
        database.reset();
        database = Database::open(options, disk);
        CHECK(database->digest() == digest);
    }
}

TEST_CASE("snapshots: what the daemon stops for is told that it was given up") {
    MemoryStorage disk;
    const Clock clock;
    const auto database = Database::open(options_with(clock), disk);
    add_keys(*database, "links", 5'000, 3);
    database->save_snapshot();
    const std::string file = names_of(*database).front();
    const std::atomic<bool> stopping = true;
    for (const Request& request :
         {Request(control::SaveAllSnapshots{}), Request(control::SaveSnapshot{"links"}),
          Request(control::LoadSnapshot{file}), Request(query::FetchSnapshot{file, 0, 1000}),
          Request(query::BeginExport{}), Request(query::VerifySnapshots{})}) {
        CAPTURE(request.index());
        Outcome outcome;
        database->execute(std::span(&request, 1), std::span(&outcome, 1));
        auto& task = std::get<std::unique_ptr<Task>>(outcome.result);
        CHECK_THROWS_WITH_AS(task->run(UntilStopped(stopping)), "Cancelled: the daemon is stopping",
                             RequestError);
    }
    CHECK(names_of(*database).size() == 1);
}

TEST_CASE("snapshots: dropping them can be given up, and goes on the next time") {
    MemoryStorage disk;
    const Clock clock;
    DatabaseOptions options = options_with(clock);
    options.threads = false;
    options.snapshots_retained = 1;
    auto database = Database::open(options, disk);
    for (std::uint64_t value = 1; value < 4; ++value) {
        add_keys(*database, "links", 5'000, value);
        database->save_snapshot();
    }
    Digest digest = database->digest();
    database->wind_down();
    CHECK_THROWS_AS(database->apply_retention(), RequestError);
    CHECK(keys_of(disk, "m").size() == 3);
    database.reset();
    database = Database::open(options, disk);
    CHECK(database->digest() == digest);
    database->apply_retention();
    CHECK(keys_of(disk, "m").size() < 3);
    CHECK(std::holds_alternative<reply::Verified>(database->call(query::VerifySnapshots{})));
}

TEST_CASE("snapshots: a start that is given up leaves what it found") {
    MemoryStorage disk;
    const Clock clock;
    DatabaseOptions options = options_with(clock);
    Digest digest;
    {
        const auto database = Database::open(options, disk);
        add_keys(*database, "links", 5'000, 3);
        database->save_snapshot();
        add_keys(*database, "links", 5'000, 3);
        digest = database->digest();
    }
    int asked = 0;
    for (bool is_open = false; !is_open; ++asked) {
        int left = asked;
        options.gives_up = [&left] { return left-- <= 0; };
        try {
            is_open = Database::open(options, disk)->digest() == digest;
            REQUIRE(is_open);
        } catch (const RequestError& refused) {
            CHECK(refused.what() == std::string("Cancelled: the daemon is stopping"));
        }
    }
    CHECK(asked > 5);
}

TEST_CASE("snapshots: only pages that have changed are written again") {
    MemoryStorage disk;
    const Clock clock;
    Digest digest;
    {
        const auto database = Database::open(options_with(clock), disk);
        add_keys(*database, "links", 20'000, 3);
        add_keys(*database, "still", 1'000, 3);
        database->save_snapshot();
        const std::size_t pages = count(disk, "g");
        CHECK(pages > 20);
        database->save_snapshot();
        CHECK(count(disk, "g") == pages);
        database->increment("links", 7, 1, some_day);
        database->save_snapshot();
        CHECK(count(disk, "g") == pages + 1);
        digest = database->digest();
    }
    // Pages that were read back are known to be stored as well.
    const auto database = Database::open(options_with(clock), disk);
    CHECK(database->digest() == digest);
    const std::size_t pages = count(disk, "g");
    database->increment("still", 7, 1, some_day);
    database->save_snapshot();
    CHECK(count(disk, "g") == pages + 1);
    CHECK(Database::open(options_with(clock), disk)->digest() == database->digest());
}

TEST_CASE("snapshots: any mix of changes, snapshots, drops and restarts comes back") {
    std::mt19937_64 engine = test::random_engine("incremental snapshots");
    const test::TempDir directory;
    Clock clock;
    for (int round = 0; round < 12; ++round) {
        MemoryStorage memory;
        DatabaseOptions options = options_with(clock);
        options.snapshots_retained = static_cast<unsigned>(random_between(engine, 1, 3));
        options.directory = directory / std::to_string(round);
        const bool on_disk = round % 3 == 0;
        const auto open = [&] { return on_disk ? Database::open(options) : Database::open(options, memory); };
        auto database = open();
        for (int step = 0; step < 60; ++step) {
            clock.now_ms += static_cast<std::int64_t>(random_between(engine, 0, 2'000));
            const std::string series = "s" + std::to_string(random_between(engine, 0, 3));
            switch (random_between(engine, 0, 9)) {
                case 0: database->save_snapshot(); break;
                case 1: database->call(control::SaveSnapshot{series}); break;
                case 2: database->call(Mutation(mutation::DropSeries{series})); break;
                case 3: database->apply_retention(); break;
                case 4: {
                    const Digest digest = database->digest();
                    database.reset();
                    database = open();
                    REQUIRE(database->digest() == digest);
                    break;
                }
                case 5:
                    if (const std::vector<std::string> files = names_of(*database); !files.empty()) {
                        const auto& file = files[random_between(engine, 0, files.size() - 1)];
                        CHECK(std::holds_alternative<reply::SeriesLoaded>(
                            database->call(control::LoadSnapshot{file})));
                    }
                    break;
                default:
                    add_keys(*database, series, random_between(engine, 1, 3'000),
                             random_between(engine, 1, 500));
                    break;
            }
        }
        CHECK(std::holds_alternative<reply::Verified>(database->call(query::VerifySnapshots{})));
        const Digest digest = database->digest();
        database.reset();
        CHECK(open()->digest() == digest);
    }
}

TEST_CASE("snapshots: only the latest are kept, and nothing of series that are gone") {
    MemoryStorage disk;
    Clock clock;
    DatabaseOptions options = options_with(clock);
    options.snapshots_retained = 2;
    options.event_retention_s = 0;
    const auto database = Database::open(options, disk);
    for (int i = 0; i < 10; ++i) {
        const std::string passing = "passing" + std::to_string(i);
        database->increment("stays", 1, 1, some_day);
        database->increment(passing, 1, 1, some_day);
        database->save_snapshot();
        database->call(Mutation(mutation::DropSeries{passing}));
        database->apply_retention();
    }
    CHECK(count(disk, "m") == 2);
    CHECK(count(disk, "l") == 4);
    CHECK(count(disk, "g") == 4);
    CHECK(Database::open(options, disk)->sum("stays", 1) == 10);
}

TEST_CASE("snapshots: clients see the latest of each series, as many as are to be kept") {
    MemoryStorage disk;
    Clock clock;
    DatabaseOptions options = options_with(clock);
    options.snapshots_retained = 2;
    const auto database = Database::open(options, disk);
    database->increment("a", 1, 1, some_day);
    database->increment("b", 1, 1, some_day);
    database->save_snapshot();
    for (int i = 0; i < 3; ++i) {
        database->call(control::SaveSnapshot{"a"});
    }
    const std::vector<std::string> files = names_of(*database);
    // Within one second each has a name of its own.
    CHECK(std::set<std::string>(files.begin(), files.end()).size() == 3);
    CHECK(std::ranges::count_if(files, [](const std::string& f) { return f.ends_with("_a.tree"); }) == 2);
    CHECK(std::ranges::count_if(files, [](const std::string& f) { return f.ends_with("_b.tree"); }) == 1);
}

TEST_CASE("snapshots: lists come in pages, whatever is stored meanwhile") {
    MemoryStorage storage;
    Clock clock;
    DatabaseOptions options = options_with(clock);
    options.snapshots_retained = 2;
    const std::unique_ptr<Database> database = Database::open(options, storage);
    const std::string long_name = std::string(250, 'l');
    const std::vector<std::string> series{"a", "b", "c/d", long_name, "z"};
    const auto files_with = [&](const query::Page& page) {
        return std::get<reply::SnapshotNames>(database->call(query::Snapshots{page}));
    };
    for (int round = 0; round < 3; ++round) {
        for (const std::string& name : series) {
            database->increment(name, 1, 1, some_day);
        }
        database->save_snapshot();
        clock.now_ms += 10'000;
    }
    const std::vector<std::string> all = files_with({}).files;
    REQUIRE(all.size() == 2 * series.size());
    for (std::size_t limit = 1; limit <= all.size(); ++limit) {
        std::vector<std::string> seen;
        std::string cursor;
        for (bool has_more = true; has_more;) {
            const reply::SnapshotNames page = files_with({limit, cursor});
            REQUIRE(page.files.size() <= limit);
            REQUIRE_FALSE(page.files.empty());
            seen.insert(seen.end(), page.files.begin(), page.files.end());
            cursor = page.files.back();
            has_more = page.page.has_more;
        }
        CHECK(seen == all);
    }
    for (const std::string& file : all) {
        CHECK(std::holds_alternative<reply::FileBytes>(database->call(query::FetchSnapshot{file, 0, 0})));
    }
    const auto latest =
        std::get<Boxed<reply::SnapshotInfo>>(database->call(query::SnapshotInfo{{3, all[0]}}));
    CHECK(latest->count == all.size());
    REQUIRE(latest->latest.size() == 3);
    CHECK(latest->latest[0].file == all[1]);
    CHECK(latest->page.has_more);
    CHECK(code_of(database->call(query::Snapshots{{1, "no file"}})) == ErrorCode::validation_error);
    // The snapshot that the cursor is of goes, and a newer one comes: what is older follows.
    const std::string& cursor = all[1];
    database->increment("a", 1, 1, some_day);
    database->save_snapshot();
    const reply::SnapshotNames behind = files_with({100, cursor});
    CHECK(behind.files == std::vector<std::string>(all.begin() + 2, all.begin() + 5));
}

TEST_CASE("snapshots: the second snapshot of many series looks at each of them once") {
    MemoryStorage storage;
    Clock clock;
    const std::unique_ptr<Database> database = Database::open(options_with(clock), storage);
    for (int i = 0; i < 20'000; ++i) {
        database->increment("series " + std::to_string(i), 1, 1, some_day);
    }
    database->save_snapshot();
    database->increment("series 1", 1, 1, some_day);
    database->save_snapshot();
    CHECK(std::get<reply::SnapshotNames>(database->call(query::Snapshots{})).files.size() == 40'000);
}

TEST_CASE("snapshots: reading one back ends at the deadline") {
    struct Over final : Deadline {
        bool expired() const override { return true; }
    };
    MemoryStorage storage;
    Clock clock;
    const std::unique_ptr<Database> database = Database::open(options_with(clock), storage);
    add_keys(*database, "s", 100, 1);
    database->save_snapshot();
    const SnapshotStore store(storage);
    NullSink sink;
    Engine engine(database->hash_seed(), sink);
    CHECK_THROWS_AS(store.restore(engine, {}, std::numeric_limits<Lsn>::max(), Over()), RequestError);
}

TEST_CASE("snapshots: a damaged page is got round with an older snapshot and more of the log") {
    MemoryStorage disk;
    const Clock clock;
    Digest digest;
    std::vector<std::string> pages;
    {
        const auto database = Database::open(options_with(clock), disk);
        database->increment("links", 1, 5, some_day);
        database->increment("other", 1, 5, some_day);
        database->save_snapshot();
        database->increment("links", 1, 5, some_day);
        database->save_snapshot();
        pages = keys_of(disk, "g");
        REQUIRE(pages.size() == 3);
        database->increment("links", 1, 5, some_day);
        digest = database->digest();
    }
    SUBCASE("of the newest snapshot: the one before it") { flip_a_bit(disk, pages[2]); }
    SUBCASE("missing") { put(disk, pages[2], std::nullopt); }
    SUBCASE("of all snapshots: the log alone") { flip_a_bit(disk, pages[1]); }
    SUBCASE("a page list") { flip_a_bit(disk, keys_of(disk, "l").back()); }
    SUBCASE("a manifest") { flip_a_bit(disk, keys_of(disk, "m").back()); }
    SUBCASE("all manifests") {
        for (const std::string& key : keys_of(disk, "m")) {
            flip_a_bit(disk, key);
        }
    }
    {
        const auto database = Database::open(options_with(clock), disk);
        CHECK(database->digest() == digest);
        REQUIRE_FALSE(database->restore_warnings().empty());
        CHECK(database->restore_warnings().front().find("snapshot") != std::string::npos);
        // A new snapshot makes up for it.
        database->save_snapshot();
        database->apply_retention();
    }
    const auto database = Database::open(options_with(clock), disk);
    CHECK(database->digest() == digest);
}

namespace {

/// Damages these records of the newest snapshot while the database is open, and looks whether that is healed
/// from memory: whether somebody has noticed it or not.
void heal(const std::function<std::vector<std::string>(const Storage&)>& damaged, bool is_known) {
    MemoryStorage disk;
    Clock clock;
    DatabaseOptions options = options_with(clock);
    options.event_retention_s = 60;
    options.wal_batch_size = 1;
    options.threads = false;
    std::vector<std::string> failures;
    options.on_failure = [&](const std::string& what, const std::string& why) {
        failures.push_back(what + ": " + why);
    };
    Digest digest;
    {
        const auto database = Database::open(options, disk);
        // All three snapshots share the page of the series that stands still.
        database->increment("still", 1, 5, some_day);
        for (int i = 0; i < 3; ++i) {
            database->increment("links", 1, 5, some_day);
            database->save_snapshot();
        }
        for (const std::string& key : damaged(disk)) {
            flip_a_bit(disk, key);
        }
        clock.now_ms += 7'200'000;
        if (is_known) {
            CHECK(std::holds_alternative<Error>(database->call(query::VerifySnapshots{})));
            database->save_snapshot();
        } else {
            database->apply_retention();
            REQUIRE_FALSE(failures.empty());
            CHECK(failures.front().find("snapshot_check: ") == 0);
        }
        // Nothing was dropped of the log that would be needed without the new snapshot ...
        CHECK(database->first_kept_lsn() == 1);
        CHECK(std::holds_alternative<reply::Verified>(database->call(query::VerifySnapshots{})));
        // ... and with it nothing of it is needed.
        database->increment("links", 1, 5, some_day);
        database->save_snapshot();
        digest = database->digest();
        database->apply_retention();
        CHECK(database->first_kept_lsn() > 1);
    }
    const auto database = Database::open(options, disk);
    CHECK(database->digest() == digest);
    CHECK(database->restore_warnings().empty());
    CHECK(std::holds_alternative<reply::Verified>(database->call(query::VerifySnapshots{})));
}

}  // namespace

TEST_CASE("snapshots: what is damaged while the database is open is stored anew from memory") {
    std::function<std::vector<std::string>(const Storage&)> damaged;
    SUBCASE("a page of all snapshots") {
        damaged = [](const Storage& disk) { return std::vector{keys_of(disk, "g").at(1)}; };
    }
    SUBCASE("all pages") {
        damaged = [](const Storage& disk) { return keys_of(disk, "g"); };
    }
    SUBCASE("a page list") {
        damaged = [](const Storage& disk) { return std::vector{keys_of(disk, "l").back()}; };
    }
    SUBCASE("a manifest") {
        damaged = [](const Storage& disk) { return std::vector{keys_of(disk, "m").back()}; };
    }
    heal(damaged, true);
    heal(damaged, false);
}

TEST_CASE("snapshots: those of a dropped series do not come back with a new one of its name") {
    MemoryStorage disk;
    Clock clock;
    DatabaseOptions options = options_with(clock);
    options.snapshots_retained = 3;
    options.event_retention_s = 3600;
    options.threads = false;
    const auto database = Database::open(options, disk);
    const auto files_of_links = [&] {
        return std::ranges::count_if(names_of(*database),
                                     [](const std::string& file) { return file.ends_with("_links.tree"); });
    };
    database->increment("links", 1, 1, some_day);
    database->increment("keeps", 1, 1, some_day);
    database->save_snapshot();
    CHECK(files_of_links() == 1);
    clock.now_ms += 1'000;
    database->call(Mutation(mutation::DropSeries{"links"}));
    CHECK(files_of_links() == 1);  // it can still be brought back
    database->save_snapshot();
    CHECK(files_of_links() == 0);
    database->increment("links", 1, 1, some_day);
    CHECK(files_of_links() == 0);
    SUBCASE("by a snapshot of it alone") { database->call(control::SaveSnapshot{"links"}); }
    SUBCASE("by a snapshot of everything") { database->save_snapshot(); }
    SUBCASE("when the snapshot that did not hold it is no longer needed otherwise") {
        database->save_snapshot();
        for (int i = 0; i < 4; ++i) {
            database->call(control::SaveSnapshot{"keeps"});
        }
        database->apply_retention();
    }
    CHECK(files_of_links() == 1);
}

TEST_CASE("snapshots: damage that the log does not make up for is named, and nothing starts") {
    MemoryStorage disk;
    Clock clock;
    DatabaseOptions options = options_with(clock);
    options.event_retention_s = 60;
    options.wal_batch_size = 1;
    {
        const auto database = Database::open(options, disk);
        for (int i = 0; i < 10; ++i) {
            database->increment("links", 1, 5, some_day);
        }
        database->save_snapshot();
        clock.now_ms += 3'600'000;
        for (int i = 0; i < 10; ++i) {
            database->increment("links", 1, 5, some_day);
        }
        database->apply_retention();
    }
    const std::string page = keys_of(disk, "g").front();
    const std::string whole = disk.read(Table::snapshots, page).value();
    flip_a_bit(disk, page);
    // To 9 or 10: retention removes up to a group, once it is known that the times of the log never decrease.
    CHECK_THROWS_WITH_AS(Database::open(options, disk), doctest::Contains("the events from LSN 1 to "),
                         CorruptionError);
    CHECK_THROWS_WITH_AS(Database::open(options, disk), doctest::Contains("series \"links\": snapshot page"),
                         CorruptionError);
    put(disk, page, whole);
    CHECK(Database::open(options, disk)->sum("links", 1) == 100);
}

TEST_CASE("snapshots: without a log, damage to the newest one is not answered with an older state") {
    MemoryStorage disk;
    const Clock clock;
    DatabaseOptions options = options_with(clock);
    options.wal = false;
    {
        const auto database = Database::open(options, disk);
        database->increment("links", 1, 5, some_day);
        database->save_snapshot();
        database->increment("links", 1, 5, some_day);
        database->save_snapshot();
    }
    SUBCASE("a page") { flip_a_bit(disk, keys_of(disk, "g").back()); }
    SUBCASE("the manifest") { flip_a_bit(disk, keys_of(disk, "m").back()); }
    CHECK_THROWS_WITH_AS(Database::open(options, disk), doctest::Contains("the state at LSN 2 was stored"),
                         CorruptionError);
}

TEST_CASE("snapshots: --restore-from begins with an older one and ends at the same state") {
    MemoryStorage disk;
    const Clock clock;
    const auto database = Database::open(options_with(clock), disk);
    for (int i = 0; i < 4; ++i) {
        add_keys(*database, "links", 100, 1);
        database->save_snapshot();
    }
    for (Lsn from = 0; from <= 5; ++from) {
        DatabaseOptions options = options_with(clock);
        options.restore_from = from;
        const auto restored = Database::open(options, disk);
        CHECK(restored->digest() == database->digest());
        const std::string used = "snapshot at LSN " + std::to_string(std::min<Lsn>(from, 4)) + ",";
        CHECK(restored->restore_summary().find(used) != std::string::npos);
    }
}

TEST_CASE("snapshots: what a crash has left of one is removed, and its numbers are used again") {
    MemoryStorage disk;
    const Clock clock;
    Digest digest;
    std::size_t pages = 0;
    {
        // The manifest cannot be written; pages past the size of a batch are there by then.
        ManifestRefusingStorage storage(disk);
        const auto database = Database::open(options_with(clock), storage);
        add_keys(*database, "links", 1'000, 3);
        database->save_snapshot();
        pages = count(disk, "g");
        add_keys(*database, "links", 200'000, 3);
        storage.refuse = true;
        CHECK(code_of(database->call(control::SaveAllSnapshots{})) == ErrorCode::internal_error);
        digest = database->digest();
        CHECK(count(disk, "g") > pages);
    }
    const auto database = Database::open(options_with(clock), disk);
    CHECK(database->digest() == digest);
    CHECK(count(disk, "g") == pages);
    CHECK(count(disk, "m") == 1);
    database->save_snapshot();
    CHECK(Database::open(options_with(clock), disk)->digest() == digest);
}

TEST_CASE("snapshots: those of an earlier format are restored, and replaced by the next one") {
    MemoryStorage disk;
    const Clock clock;
    Digest digest;
    {
        const auto database = Database::open(options_with(clock), disk);
        add_keys(*database, "links", 5'000, 3);
        digest = database->digest();
        // As version 2 wrote it: pages under keys of the snapshot's own, a manifest of ten elements.
        const SeriesView view = database->view().series.front();
        std::uint32_t number = 0;
        for (const PageRef& page : view.pages()) {
            std::string key = "p" + big_endian(1);
            append_big_endian(key, 0, 4);
            append_big_endian(key, number++, 4);
            put(disk, key, sealed(page->image()));
        }
        msgpack::sbuffer buffer;
        msgpack::packer<msgpack::sbuffer> packer(buffer);
        packer.pack_array(10);
        packer.pack(2);
        packer.pack(true);
        packer.pack(database->last_lsn());
        packer.pack(clock.now_ms.load());
        packer.pack_array(1);
        packer.pack_array(8);
        packer.pack("links");
        packer.pack(database->last_lsn());
        packer.pack(view.totals().keys);
        packer.pack(view.totals().buckets);
        packer.pack(0);
        packer.pack(static_cast<std::uint64_t>(view.totals().total));
        packer.pack(view.pages().size());
        packer.pack(view.bytes());
        packer.pack_array(0);
        packer.pack(clock.now_ms / 1000);
        packer.pack_array(0);
        packer.pack(0);
        packer.pack(0);
        put(disk, "m" + big_endian(1), sealed({buffer.data(), buffer.size()}));
    }
    DatabaseOptions options = options_with(clock);
    options.snapshots_retained = 1;
    options.event_retention_s = 0;
    const auto database = Database::open(options, disk);
    CHECK(database->digest() == digest);
    CHECK(database->restore_summary().find("snapshot at LSN 1, then 0 events") != std::string::npos);
    CHECK(names_of(*database).size() == 1);
    CHECK(std::holds_alternative<reply::SeriesLoaded>(
        database->call(control::LoadSnapshot{names_of(*database).front()})));
    database->save_snapshot();
    database->apply_retention();
    CHECK(count(disk, "p") == 0);
    CHECK(Database::open(options, disk)->digest() == digest);
}

TEST_CASE("snapshots: the space of dropped ones is given back on disk") {
    const test::TempDir directory;
    Clock clock;
    DatabaseOptions options = options_with(clock);
    options.directory = directory.path();
    options.snapshots_retained = 1;
    options.event_retention_s = 1;
    const auto disk_bytes = [&] {
        std::uint64_t bytes = 0;
        for (const auto& file : std::filesystem::recursive_directory_iterator(directory.path())) {
            bytes += file.is_regular_file() ? file.file_size() : 0;
        }
        return bytes;
    };
    const auto database = Database::open(options);
    std::uint64_t after_first = 0;
    const std::size_t rounds = 30;
    for (std::size_t round = 0; round < rounds; ++round) {
        clock.now_ms += 60'000;
        add_keys(*database, "links", 100'000, 1 + round);  // every page changes
        database->save_snapshot();
        database->apply_retention();
        if (round == 0) {
            after_first = disk_bytes();
        }
    }
    CHECK(after_first > 2'000'000);
    CHECK(disk_bytes() < after_first * rounds / 2);
    const Digest digest = database->digest();
    CHECK(std::holds_alternative<reply::Verified>(database->call(query::VerifySnapshots{})));
    CHECK(database->digest() == digest);
}

}  // namespace karma::test
