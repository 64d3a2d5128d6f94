#include <atomic>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "engine/error.h"
#include "persist/database.h"
#include "persist/log_search.h"
#include "persist/memory_storage.h"
#include "persist/rocksdb_storage.h"
#include "persist/snapshot_retention.h"
#include "persist/snapshot_store.h"
#include "tests/persist/removed_ranges.h"
#include "tests/support/temp_dir.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

constexpr std::int64_t hour_ms = 3'600'000;

std::shared_ptr<const SnapshotManifest> snapshot(std::uint64_t id, Lsn lsn, std::int64_t created_ms,
                                                 const std::vector<std::string>& series, bool full = true) {
    auto manifest = std::make_shared<SnapshotManifest>();
    manifest->id = id;
    manifest->full = full;
    manifest->lsn = lsn;
    manifest->created_ms = created_ms;
    for (const std::string& name : series) {
        manifest->series.push_back({name, lsn, {}, 0, 0, 0, 0});
    }
    return manifest;
}

using ManifestList = std::vector<std::shared_ptr<const SnapshotManifest>>;
using Ids = std::vector<std::uint64_t>;

/// A database whose clock is moved by hand.
class RetentionFixture {
public:
    explicit RetentionFixture(Storage& storage) : storage_(storage) {
        options_.clock_ms = [this] { return now_ms_.load(); };
        options_.snapshot_interval_s = 0;  // the clock is moved by hours
        options_.event_retention_s = 24 * 3600;
        options_.wal_batch_size = 1;
    }

    DatabaseOptions& options() { return options_; }
    void open() {
        database_.reset();
        database_ = Database::open(options_, storage_);
    }
    Database& database() { return *database_; }
    void advance(std::int64_t ms) { now_ms_ += ms; }

private:
    Storage& storage_;
    DatabaseOptions options_;
    std::atomic<std::int64_t> now_ms_ = 1'777'000'000'000;  // the housekeeper reads it too
    std::unique_ptr<Database> database_;
};

}  // namespace

TEST_CASE("retention: the latest of each series, and what a restart begins with") {
    const ManifestList all = {snapshot(6, 60, 6, {"a"}, false),        snapshot(5, 50, 5, {"b"}, false),
                              snapshot(4, 40, 4, {"a", "b"}),          snapshot(3, 30, 3, {"a"}, false),
                              snapshot(2, 20, 2, {"b", "gone"}, true), snapshot(1, 10, 1, {"gone"}, false)};
    CHECK(droppable_snapshots(all, {1, 0, 0}) == Ids{3, 2, 1});
    CHECK(droppable_snapshots(all, {2, 0, 0}) == Ids{3, 2, 1});
    CHECK(droppable_snapshots(all, {3, 0, 0}) == Ids{1});
    CHECK(droppable_snapshots(all, {9, 0, 0}) == Ids{1});
    CHECK(droppable_snapshots({}, {1, 0, 0}).empty());
}

TEST_CASE("retention: snapshots from which kept events can be applied, some way apart") {
    ManifestList all;
    for (std::uint64_t id = 20; id > 0; --id) {
        all.push_back(snapshot(id, id * 10, static_cast<std::int64_t>(id) * 1'000, {"a"}));
    }
    // Events from LSN 55 on are kept: snapshot 5 is the last one before them.
    const Ids dropped = droppable_snapshots(all, {2, 55, 4'000});
    const std::set<std::uint64_t> gone(dropped.begin(), dropped.end());
    Ids kept;
    for (std::uint64_t id = 1; id <= 20; ++id) {
        if (!gone.contains(id)) {
            kept.push_back(id);
        }
    }
    CHECK(kept == Ids{5, 9, 13, 17, 19, 20});
}

TEST_CASE("retention: old events go, but none that the oldest snapshot needs") {
    MemoryStorage storage;
    RetentionFixture fixture(storage);
    fixture.open();
    for (int hour = 0; hour < 100; ++hour) {
        fixture.advance(hour_ms);
        fixture.database().increment("links", 1, 1, some_day);
        fixture.database().apply_retention();
    }
    // Nothing makes up for them.
    CHECK(first_kept_lsn(storage) == 1);
    for (int hour = 0; hour < 200; ++hour) {
        fixture.advance(hour_ms);
        fixture.database().increment("links", 1, 1, some_day);
        if (hour % 6 == 0) {
            fixture.database().save_snapshot();
        }
        fixture.database().apply_retention();
    }
    const Lsn first = first_kept_lsn(storage);
    CHECK(first > 300 - 24 - 6 - 4);  // a day, the way to the snapshot before it, and some at a time
    CHECK(first <= 300 - 24 + 1);
    // Each point since then can still be asked for.
    for (Lsn lsn = 300 - 24; lsn <= 300; ++lsn) {
        query::Sum query{"links", 1, {}, HistoryPoint::at_lsn(lsn)};
        CHECK(std::get<reply::Number>(fixture.database().call(query)).value == lsn);
    }
    query::Sum query{"links", 1, {}, HistoryPoint::at_lsn(100)};
    CHECK(std::get<Error>(fixture.database().call(query)).code == ErrorCode::replication_gap);
    fixture.open();
    CHECK(fixture.database().sum("links", 1) == 300);
}

TEST_CASE("retention: by bytes, on disk, where the space is given back") {
    const test::TempDir directory;
    RocksdbStorage storage({directory / "db", 1 << 20, nullptr});
    RetentionFixture fixture(storage);
    fixture.options().event_retention_s = 0;
    fixture.options().event_retention_bytes = 2'000'000;
    fixture.open();
    std::vector<mutation::Item> items;
    for (std::uint64_t key = 0; key < 5'000; ++key) {
        items.push_back({key, some_day, 1});
    }
    for (int i = 0; i < 200; ++i) {
        fixture.advance(1);
        fixture.database().call(Mutation(mutation::BatchAdd{"links", items}));
    }
    CHECK(storage.log_bytes() > 4'000'000);
    fixture.database().apply_retention();
    CHECK(first_kept_lsn(storage) == 1);
    fixture.database().save_snapshot();
    fixture.database().apply_retention();
    CHECK(storage.log_bytes() < 3'000'000);
    CHECK(first_kept_lsn(storage) > 1);
    const Digest digest = fixture.database().digest();
    fixture.open();
    CHECK(fixture.database().digest() == digest);
    CHECK(fixture.database().last_lsn() == 200);
}

TEST_CASE("retention: snapshots go whoever reads, once those who could see them have ended") {
    MemoryStorage storage;
    SnapshotStore store(storage);
    NullSink sink;
    Engine engine(1, sink);
    const auto save = [&] {
        engine.execute(Mutation(mutation::Increment{"links", 1, some_day, 1}), 1'000);
        store.save_all(store.begin_saving(), engine.view(), 1'000);
    };
    const auto stored = [&] {
        std::size_t count = 0;
        storage.scan(Table::snapshots, "m", [&](std::string_view, std::string_view) {
            ++count;
            return true;
        });
        return count;
    };
    store.set_retention({1, 0, 0});
    save();
    std::vector<std::unique_ptr<SnapshotStore::Keep>> readers;
    for (int i = 0; i < 20; ++i) {
        // There is always somebody who reads: each begins before the one before it ends.
        const SnapshotStore::ManifestRef oldest = store.manifests().back();
        readers.push_back(std::make_unique<SnapshotStore::Keep>(store));
        save();
        store.prune();
        CHECK(store.manifests().size() == 1);
        CHECK(store.load(*oldest, oldest->series.front()).total(1) >= 1);  // who has begun can read on
        if (readers.size() == 3) {
            readers.erase(readers.begin());
        }
        CHECK(stored() <= 4);
    }
    readers.clear();
    store.prune();
    CHECK(stored() == 1);
}

TEST_CASE("retention: removed ranges that an earlier version has left go after the start") {
    const test::TempDir directory;
    {
        RocksdbStorage storage({directory / "db", 1 << 20, nullptr});
        RetentionFixture fixture(storage);
        fixture.options().threads = false;
        fixture.open();
        for (std::uint64_t end = 1; end <= 300; ++end) {
            storage.erase_range(Table::idempotency, "", "a" + std::to_string(1'000 + end));
        }
    }
    CHECK(removed_ranges(directory / "db") > 100);
    {
        RocksdbStorage storage({directory / "db", 1 << 20, nullptr});
        RetentionFixture fixture(storage);
        fixture.options().threads = false;
        fixture.open();
    }
    CHECK(removed_ranges(directory / "db") == 0);
}

TEST_CASE("retention: old events go without leaving removed ranges behind") {
    const test::TempDir directory;
    {
        RocksdbStorage storage({directory / "db", 1 << 20, nullptr});
        RetentionFixture fixture(storage);
        fixture.options().threads = false;
        fixture.options().event_retention_s = 3600;
        fixture.open();
        for (int hour = 0; hour < 60; ++hour) {
            fixture.advance(hour_ms);
            fixture.database().increment("links", 1, 1, some_day);
            fixture.database().save_snapshot();
            fixture.database().apply_retention();
        }
        CHECK(first_kept_lsn(storage) > 50);
    }
    CHECK(removed_ranges(directory / "db") <= 2);
}

TEST_CASE("retention: the last event stays, so that its number is not given again") {
    MemoryStorage storage;
    RetentionFixture fixture(storage);
    fixture.open();
    fixture.database().increment("links", 1, 1, some_day);
    fixture.database().increment("links", 1, 1, some_day);
    fixture.database().save_snapshot();
    fixture.advance(48 * hour_ms);
    fixture.database().apply_retention();
    CHECK(first_kept_lsn(storage) == 2);
    fixture.open();
    fixture.database().increment("links", 1, 1, some_day);
    CHECK(fixture.database().last_lsn() == 3);
}

}  // namespace karma::test
