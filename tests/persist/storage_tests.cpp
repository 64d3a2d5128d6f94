#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <rocksdb/db.h>
#include <rocksdb/perf_context.h>
#include <rocksdb/perf_level.h>

#include "engine/error.h"
#include "engine/event_codec.h"
#include "persist/data_directory.h"
#include "persist/memory_storage.h"
#include "persist/rocksdb_storage.h"
#include "tests/support/settings.h"
#include "tests/support/temp_dir.h"

namespace karma::test {

namespace {

RecordChange put(Table table, std::string key, std::string value) {
    return {table, std::move(key), std::move(value)};
}

void append(Storage& storage, Lsn first, std::uint32_t count, const std::string& bytes,
            const std::vector<RecordChange>& records = {}) {
    storage.append({first, count, bytes}, records, true);
}

std::string log_from(const Storage& storage, Lsn from) {
    std::string seen;
    storage.read_log(from, [&](const EventGroup& group) {
        seen += std::to_string(group.first_lsn) + "+" + std::to_string(group.count) + ":" +
                std::string(group.bytes) + " ";
        return true;
    });
    return seen;
}

std::string keys_of(const Storage& storage, Table table, std::string_view prefix) {
    std::string seen;
    storage.scan(table, prefix, [&](std::string_view key, std::string_view value) {
        seen += std::string(key) + "=" + std::string(value) + " ";
        return true;
    });
    return seen;
}

/// Each backend must pass what follows; `reopen` gives the same data again where it lasts.
struct Backend {
    const char* name;
    bool lasts;
};

class StorageFixture {
public:
    explicit StorageFixture(const Backend& backend) : backend_(backend) { reopen(); }

    Storage& storage() { return *storage_; }
    void reopen() {
        if (backend_.lasts) {
            storage_.reset();
            storage_ = std::make_unique<RocksdbStorage>(
                RocksdbStorage::Options{directory_ / "db", 1 << 20, nullptr});
        } else if (!storage_) {
            storage_ = std::make_unique<MemoryStorage>();
        }
    }

private:
    Backend backend_;
    test::TempDir directory_;
    std::unique_ptr<Storage> storage_;
};

constexpr Backend backends[] = {{"memory", false}, {"rocksdb", true}};

}  // namespace

TEST_CASE("storage: the log keeps groups in order, and is read from any event on") {
    for (const Backend& backend : backends) {
        CAPTURE(backend.name);
        StorageFixture fixture(backend);
        CHECK(fixture.storage().next_lsn() == 1);
        CHECK(log_from(fixture.storage(), 1).empty());
        append(fixture.storage(), 1, 3, "abc");
        append(fixture.storage(), 4, 1, std::string("d\0e", 3));
        append(fixture.storage(), 5, 300, "f");
        fixture.reopen();
        CHECK(fixture.storage().next_lsn() == 305);
        CHECK(log_from(fixture.storage(), 1) == std::string("1+3:abc 4+1:d\0e 5+300:f ", 24));
        CHECK(log_from(fixture.storage(), 3) == std::string("1+3:abc 4+1:d\0e 5+300:f ", 24));
        CHECK(log_from(fixture.storage(), 5) == "5+300:f ");
        CHECK(log_from(fixture.storage(), 304) == "5+300:f ");
        CHECK(log_from(fixture.storage(), 305).empty());
        CHECK(fixture.storage().log_bytes() > 0);
        append(fixture.storage(), 305, 1, "g");
        CHECK(log_from(fixture.storage(), 305) == "305+1:g ");
    }
}

TEST_CASE("storage: a group at another position than the next is refused, records and all") {
    for (const Backend& backend : backends) {
        CAPTURE(backend.name);
        StorageFixture fixture(backend);
        append(fixture.storage(), 1, 2, "a");
        for (const Lsn wrong : {Lsn{1}, Lsn{2}, Lsn{4}}) {
            CHECK_THROWS_AS(append(fixture.storage(), wrong, 1, "x", {put(Table::streams, "k", "v")}),
                            StorageError);
        }
        CHECK(log_from(fixture.storage(), 1) == "1+2:a ");
        CHECK_FALSE(fixture.storage().read(Table::streams, "k").has_value());
        fixture.storage().skip_to(10);
        CHECK(fixture.storage().next_lsn() == 10);
        fixture.storage().skip_to(3);
        CHECK(fixture.storage().next_lsn() == 10);
        append(fixture.storage(), 10, 1, "b");
        fixture.reopen();
        CHECK(fixture.storage().next_lsn() == 11);
        CHECK(log_from(fixture.storage(), 3) == "10+1:b ");
    }
}

TEST_CASE("storage: records come with their group, and are found by prefix") {
    for (const Backend& backend : backends) {
        CAPTURE(backend.name);
        StorageFixture fixture(backend);
        append(fixture.storage(), 1, 1, "a",
               {put(Table::idempotency, "k1", "v1"), put(Table::streams, "k1", "other")});
        append(fixture.storage(), 2, 1, "b",
               {put(Table::idempotency, "k2", "v2"), {Table::idempotency, "k1", std::nullopt}});
        const std::vector<RecordChange> more = {
            put(Table::snapshots, "a", "1"),    put(Table::snapshots, "b1", "2"),
            put(Table::snapshots, "b2", "3"),   put(Table::snapshots, "c", "4"),
            put(Table::snapshots, "\xff", "5"), put(Table::snapshots, "\xff\xff", "6")};
        fixture.storage().write(more, true);
        fixture.reopen();
        Storage& storage = fixture.storage();
        CHECK_FALSE(storage.read(Table::idempotency, "k1").has_value());
        CHECK(storage.read(Table::idempotency, "k2") == "v2");
        CHECK(storage.read(Table::streams, "k1") == "other");
        CHECK(keys_of(storage, Table::snapshots, "b") == "b1=2 b2=3 ");
        CHECK(keys_of(storage, Table::snapshots, "\xff") == "\xff=5 \xff\xff=6 ");
        storage.erase_prefix(Table::snapshots, "b");
        storage.erase_prefix(Table::snapshots, "\xff");
        CHECK(keys_of(storage, Table::snapshots, "") == "a=1 c=4 ");
    }
}

TEST_CASE("storage: a database of a newer version is refused with what to do") {
    const test::TempDir directory;
    const RocksdbStorage::Options options{directory / "db", 1 << 20, nullptr};
    {
        RocksdbStorage storage(options);
        const RecordChange newer = put(Table::meta, "format_version", "2");
        storage.write(std::span(&newer, 1), true);
    }
    CHECK_THROWS_WITH_AS(RocksdbStorage{options}, doctest::Contains("newer version of Karma"), StorageError);
    {
        rocksdb::DB* db = nullptr;
        std::vector<rocksdb::ColumnFamilyHandle*> handles;
        std::vector<rocksdb::ColumnFamilyDescriptor> families;
        for (const char* const name : {"default", "events", "snapshots", "idempotency", "streams"}) {
            families.emplace_back(name, rocksdb::ColumnFamilyOptions());
        }
        REQUIRE(rocksdb::DB::Open(rocksdb::DBOptions(), (directory / "db").string(), families, &handles, &db)
                    .ok());
        rocksdb::ColumnFamilyHandle* added = nullptr;
        REQUIRE(db->CreateColumnFamily(rocksdb::ColumnFamilyOptions(), "from_the_future", &added).ok());
        handles.push_back(added);
        for (rocksdb::ColumnFamilyHandle* const handle : handles) {
            db->DestroyColumnFamilyHandle(handle);
        }
        delete db;
    }
    CHECK_THROWS_WITH_AS(RocksdbStorage{options}, doctest::Contains("newer version of Karma"), StorageError);
}

TEST_CASE("storage: small rows of snapshots are found without reading large ones that lie beside them") {
    const test::TempDir directory;
    const RocksdbStorage::Options options{directory / "db", 1 << 20, nullptr};
    constexpr std::size_t large_bytes = 3U << 20U;  // more than is kept of what was read
    constexpr int lists = 50;
    const auto list_key = [](int snapshot, int list) {
        return "l" + std::to_string(snapshot) + std::to_string(100 + list);
    };
    for (int snapshot = 1; snapshot <= 4; ++snapshot) {
        RocksdbStorage storage(options);  // what the one before it wrote is in a table now
        std::vector<RecordChange> rows;
        for (int list = 0; list < lists; ++list) {
            rows.push_back(put(Table::snapshots, list_key(snapshot, list), "pages"));
        }
        rows.push_back(put(Table::snapshots, "m" + std::to_string(snapshot), std::string(large_bytes, 'x')));
        storage.write(rows, true);
    }
    const RocksdbStorage storage(options);
    rocksdb::SetPerfLevel(rocksdb::PerfLevel::kEnableCount);
    rocksdb::get_perf_context()->Reset();
    for (int snapshot = 1; snapshot <= 4; ++snapshot) {
        for (int list = 0; list < lists; ++list) {
            const std::string key = list_key(snapshot, list);
            CHECK(keys_of(storage, Table::snapshots, key) == key + "=pages ");
        }
    }
    const std::uint64_t read = rocksdb::get_perf_context()->block_read_byte;
    rocksdb::SetPerfLevel(rocksdb::PerfLevel::kDisable);
    CHECK(read > 0);
    CHECK(read < large_bytes);
    CHECK(storage.read(Table::snapshots, "m2").value().size() == large_bytes);
    CHECK(storage.last_key(Table::snapshots, "l") == list_key(4, lists - 1));
}

TEST_CASE("data directory: one daemon at a time, and never on files of Karma 1.0") {
    const test::TempDir directory;
    {
        const DataDirectory first(directory / "data");
        CHECK_THROWS_WITH_AS(DataDirectory(directory / "data"),
                             doctest::Contains(("pid " + std::to_string(::getpid())).c_str()), StorageError);
    }
    const DataDirectory again(directory / "data");
    CHECK_THROWS_WITH_AS(DataDirectory(directory / "no" / "data"),
                         doctest::Contains(("there is no directory " + (directory / "no").string()).c_str()),
                         StorageError);
    CHECK_FALSE(std::filesystem::exists(directory / "no"));
    CHECK(DataDirectory(directory / "slash/").database() == directory / "slash/" / "karma.db");
    test::write_file(directory / "file", "x");
    CHECK_THROWS_WITH_AS(DataDirectory(directory / "file"), doctest::Contains("not a directory"),
                         StorageError);
    for (const char* const name : {"1700000000_links.tree", "1700000000_links.tree.meta.json", "karma.wal",
                                   "karma.wal.00000000000000000001.segment", "karma.idempotency.json",
                                   "recovery.json", "karma.wal.lsn", "karma.replication.lsn"}) {
        CAPTURE(name);
        const test::TempDir old;
        test::write_file(old / name, "x");
        CHECK_THROWS_WITH_AS(DataDirectory{old.path()}, doctest::Contains("Karma 1.0"), StorageError);
        CHECK(test::read_file(old / name) == "x");
        std::filesystem::create_directory(old / "karma.db");
        CHECK_NOTHROW(DataDirectory{old.path()});  // a database of this version beside them is what counts
    }
}

TEST_CASE("memory storage: reading copies nothing of the log, and appending goes on meanwhile") {
    MemoryStorage storage;
    constexpr Lsn groups = 2'000;
    for (Lsn lsn = 1; lsn <= groups; ++lsn) {
        append(storage, lsn, 1, "group " + std::to_string(lsn));
    }
    std::vector<const char*> places;
    storage.read_log(1, [&](const EventGroup& group) {
        places.push_back(group.bytes.data());
        return true;
    });
    REQUIRE(places.size() == groups);
    // What is read is what is stored, also while events are appended and dropped: a consistent state.
    Lsn expected = 1;
    storage.read_log(1, [&](const EventGroup& group) {
        CHECK(group.first_lsn == expected);
        CHECK(group.bytes.data() == places[expected - 1]);
        CHECK(group.bytes == "group " + std::to_string(expected));
        append(storage, groups + expected, 1, "later");
        storage.erase_log_below(expected + 500);
        ++expected;
        return true;
    });
    CHECK(expected == groups + 1);
    storage.read_log(0, [&](const EventGroup& group) {
        CHECK(group.first_lsn == groups + 500);
        return false;
    });
}

TEST_CASE("memory storage: the log agrees with a plain one under random use") {
    std::mt19937_64 random = random_engine("memory storage log");
    MemoryStorage storage;
    struct Plain {
        Lsn first_lsn;
        std::uint32_t count;
        std::string bytes;
    };
    std::vector<Plain> plain;
    const auto check_from = [&](Lsn from) {
        std::string expected;
        std::uint64_t bytes = 0;
        for (const Plain& group : plain) {
            if (group.first_lsn + group.count > from) {
                expected += std::to_string(group.first_lsn) + "+" + std::to_string(group.count) + ":" +
                            group.bytes + " ";
                bytes += group.bytes.size();
            }
        }
        CHECK(log_from(storage, from) == expected);
        CHECK(storage.log_bytes_from(from) == bytes);
    };
    for (std::size_t i = 0; i < scaled(3'000); ++i) {
        if (random_between(random, 0, 20) == 0) {
            storage.skip_to(storage.next_lsn() + random_between(random, 0, 5));
        }
        const Lsn first = storage.next_lsn();
        const auto count = static_cast<std::uint32_t>(random_between(random, 1, 4));
        const std::string bytes(random_between(random, 0, 300) == 0 ? 1'200'000 : 3, 'x');
        append(storage, first, count, bytes);
        plain.push_back({first, count, bytes});
        if (random_between(random, 0, 100) == 0) {
            const Lsn below = random_between(random, 0, first + 2);
            storage.erase_log_below(below);
            while (plain.size() > 1 && plain.front().first_lsn + plain.front().count <= below) {
                plain.erase(plain.begin());
            }
            check_from(0);
            check_from(random_between(random, 0, first + 5));
            const MemoryStorage copy(storage);
            CHECK(log_from(copy, 0) == log_from(storage, 0));
        }
    }
}

}  // namespace karma::test
