// What a disk does to a database: power loss, process crash, errors of writes and syncs, a full disk.
#include <algorithm>
#include <string>

#include <doctest/doctest.h>

#include "engine/error.h"
#include "persist/log_file_order.h"
#include "tests/persist/fault_client.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

std::size_t fault_rounds(std::size_t usual) {
    return number_from_environment("KARMA_TEST_ROUNDS", scaled(usual));
}

/// Crashes again and again, at any operation of the disk, and looks at what is left each time.
void crash_and_restart(std::uint64_t seed, Crash crash, bool wal_fsync) {
    FaultClient client(seed);
    const bool all_survives = wal_fsync || crash == Crash::process;
    auto disk = std::make_shared<FaultyFileSystem>();
    for (int lives = 0; lives < 4; ++lives) {
        Machine machine(disk);
        DatabaseOptions options = client.options();
        options.wal_fsync = wal_fsync;
        const Lsn survived = client.acked();
        Lsn acked = survived;
        const auto on_crash = [&] {
            const Database* const database = machine.database();
            acked = database == nullptr || !all_survives ? survived : database->durable_lsn();
        };
        const std::uint64_t operations = std::uint64_t{1} << random_between(client.random(), 0, 9);
        disk->crash_after(random_between(client.random(), 0, operations * 2), crash, client.random()(),
                          on_crash);
        try {
            Database& database = machine.open(options);
            CHECK(database.digest() == client.digest());
            client.send_again(database);
            client.work(database, random_between(client.random(), 1, 60));
        } catch (const StorageError&) {
            CHECK(disk->has_crashed());
        }
        if (!disk->has_crashed()) {
            on_crash();
            disk->crash_now(crash, client.random()());
        }
        disk = disk->take_remains();
        Machine after(disk->copy());
        client.check_restarted(after.open(client.options()), acked);
    }
}

struct FaultRun {
    FaultPlan plan;
    std::uint64_t failures = 0;
};

/// A disk that begins to fail at any moment, then a power loss, then a restart on a sound disk.
FaultRun fail_and_restart(std::uint64_t seed, Fault fault) {
    FaultClient client(seed);
    auto disk = std::make_shared<FaultyFileSystem>();
    FaultRun run;
    for (int lives = 0; lives < 3; ++lives) {
        Machine machine(disk);
        std::mt19937_64& random = client.random();
        run.plan.fault = fault;
        run.plan.after = random_between(random, 0, std::uint64_t{1} << random_between(random, 0, 8));
        run.plan.after *= fault == Fault::no_space ? 500 : 1;
        run.plan.count = one_in(random, 2) ? forever : random_between(random, 1, 4);
        constexpr const char* kinds[] = {"", "", ".log", ".sst", "MANIFEST"};
        run.plan.only = kinds[random_between(random, 0, fault == Fault::directory_sync_error ? 0 : 4)];
        bool has_opened = false;
        const bool from_the_start = one_in(random, 4);
        if (from_the_start) disk->fail(run.plan, random());
        try {
            Database& database = machine.open(client.options());
            has_opened = true;
            CHECK(database.digest() == client.digest());
            client.send_again(database);
            client.work(database, random_between(random, 0, 20));
            if (!from_the_start) disk->fail(run.plan, random());
            client.work(database, random_between(random, 1, 80));
            if (database.has_failed()) {
                client.check_failed(database);
                disk->heal();  // an error that goes away by itself gives nothing back
                client.check_failed(database);
            } else if (fault == Fault::open_error) {
                disk->heal();  // writes go on, or it is told that they do not
                client.work(database, random_between(random, 1, 40));
            }
        } catch (const StorageError& failure) {
            CHECK_FALSE(has_opened);
            CHECK(contains(failure.what(), "made up"));
        }
        run.failures += disk->failures();
        const Lsn acked = has_opened ? client.acked() : 0;
        disk->crash_now(one_in(random, 3) ? Crash::process : Crash::power, random());
        disk = disk->take_remains();
        Machine after(disk->copy());
        client.check_restarted(after.open(client.options()), std::max(acked, client.acked()));
    }
    return run;
}

void fail_in_many_ways(const char* purpose, Fault fault) {
    std::mt19937_64 random = random_engine(purpose);
    const std::size_t rounds = fault_rounds(15);
    std::uint64_t failures = 0;
    for (std::size_t round = 0; round < rounds; ++round) {
        CAPTURE(round);
        failures += fail_and_restart(random(), fault).failures;
    }
    CHECK(failures > 0);
}

}  // namespace

TEST_CASE("storage faults: a power loss at any moment takes nothing that was acknowledged") {
    std::mt19937_64 random = random_engine("power loss");
    for (std::size_t round = 0; round < fault_rounds(20); ++round) {
        CAPTURE(round);
        crash_and_restart(random(), Crash::power, true);
    }
}

TEST_CASE("storage faults: without fsync a killed process loses nothing") {
    std::mt19937_64 random = random_engine("process crash");
    for (std::size_t round = 0; round < fault_rounds(15); ++round) {
        CAPTURE(round);
        crash_and_restart(random(), Crash::process, false);
    }
}

TEST_CASE("storage faults: without fsync a power loss leaves a beginning of what was sent") {
    std::mt19937_64 random = random_engine("power loss without fsync");
    for (std::size_t round = 0; round < fault_rounds(15); ++round) {
        CAPTURE(round);
        crash_and_restart(random(), Crash::power, false);
    }
}

// Where two write-ahead files are not synced, the second one may survive, and the end of the first not.
TEST_CASE("storage faults: without fsync a power loss between two write-ahead files leaves no hole") {
    std::mt19937_64 random = random_engine("power loss between two files");
    for (std::size_t round = 0; round < fault_rounds(300); ++round) {
        CAPTURE(round);
        auto disk = std::make_shared<FaultyFileSystem>();
        RocksdbStorage::Options options;
        options.path = std::string(FaultyFileSystem::root) + "/karma.db";
        options.log_segment_bytes = 1'000;
        Lsn written = 0;
        {
            const std::unique_ptr<rocksdb::Env> env = env_on(disk);
            options.env = env.get();
            RocksdbStorage storage(options);
            // To the moment after RocksDB has begun another file, of which nothing tells it.
            for (const std::uint64_t groups = random_between(random, 1, 40); written < groups;) {
                const std::string bytes(random_between(random, 1, 300), 'e');
                storage.append({++written, 1, bytes}, {}, false);
            }
            disk->crash_now(Crash::power, random());
        }
        disk = disk->take_remains();
        const std::unique_ptr<rocksdb::Env> env = env_on(disk);
        options.env = env.get();
        const RocksdbStorage left(options);
        Lsn last = 0;
        left.read_log(1, [&](const EventGroup& group) {
            CHECK(group.first_lsn == last + 1);
            last = group.first_lsn;
            return true;
        });
        CHECK(last <= written);
    }
}

// RocksDB syncs it from two threads, and ends the process where one goes on after the other has failed.
TEST_CASE(
    "storage faults: a write-ahead file that is not the last one has nothing to sync, so that none fails") {
    auto disk = std::make_shared<FaultyFileSystem>();
    const std::unique_ptr<rocksdb::Env> machine = env_on(disk);
    const std::unique_ptr<rocksdb::Env> env = make_log_ordering_env(*machine);
    const std::shared_ptr<rocksdb::FileSystem> files = env->GetFileSystem();
    const std::string directory = FaultyFileSystem::root;
    using File = std::unique_ptr<rocksdb::FSWritableFile>;
    const auto begin = [&](const std::string& name, File& file) {
        return files->NewWritableFile(directory + name, {}, &file, nullptr).ok();
    };
    File first;
    File second;
    File third;
    REQUIRE(begin("/1.log", first));
    REQUIRE(first->Append("written", {}, nullptr).ok());
    REQUIRE(begin("/2.log", second));
    REQUIRE(second->Append("written", {}, nullptr).ok());
    disk->fail({Fault::sync_error, 0, 1, ""}, 1);
    CHECK(first->Sync({}, nullptr).ok());
    CHECK(disk->failures() == 0);
    CHECK_FALSE(second->Sync({}, nullptr).ok());
    // What failed once goes on failing: nobody knows what the disk holds.
    CHECK(disk->failures() == 1);
    CHECK_FALSE(second->Sync({}, nullptr).ok());
    CHECK_FALSE(second->Append("more", {}, nullptr).ok());
    CHECK_FALSE(begin("/3.log", third));
}

TEST_CASE(
    "storage faults: a write that fails ends all acknowledging, and a restart has what was acknowledged") {
    fail_in_many_ways("append error", Fault::append_error);
}

// A master that waits for followers, or a follower, may write no event for long.
TEST_CASE(
    "storage faults: a failed write beside the log is known as a failure of the node, whoever writes next") {
    FaultClient client(1);
    auto disk = std::make_shared<FaultyFileSystem>();
    const std::unique_ptr<rocksdb::Env> env = env_on(disk);
    RocksdbStorage::Options with;
    with.path = std::string(FaultyFileSystem::root) + "/karma.db";
    with.env = env.get();
    RocksdbStorage storage(with);
    DatabaseOptions options = client.options();
    options.threads = false;
    const auto database = Database::open(options, storage);
    database->maintain();
    CHECK(!database->has_failed());
    disk->fail({Fault::append_error, 0, 1, ""}, 1);
    CHECK_THROWS_AS(database->write_note("counted_followers", "{}"), StorageError);
    REQUIRE(disk->failures() == 1);
    database->maintain();
    CHECK(database->has_failed());
    CHECK(database->failure() != "");
}

TEST_CASE("storage faults: a write that arrives in part ends all acknowledging") {
    fail_in_many_ways("short append", Fault::short_append);
}

TEST_CASE("storage faults: a sync that fails ends all acknowledging, also when later ones succeed") {
    fail_in_many_ways("sync error", Fault::sync_error);
}

TEST_CASE("storage faults: a directory that cannot be synced loses nothing that is acknowledged") {
    fail_in_many_ways("directory sync error", Fault::directory_sync_error);
}

TEST_CASE("storage faults: files that cannot be opened lose nothing, and writes go on or it is told") {
    fail_in_many_ways("no descriptors", Fault::open_error);
}

// The share of the storage where few files may be open: see net/machine.h.
TEST_CASE("storage faults: RocksDB keeps within the files that are left to it") {
    constexpr std::size_t tables_max = 20;  // of which RocksDB counts 10 for other files
    constexpr std::size_t beside_tables = 36;
    std::mt19937_64 random = random_engine("few descriptors");
    for (std::size_t round = 0; round < fault_rounds(6); ++round) {
        CAPTURE(round);
        FaultClient client(random());
        auto disk = std::make_shared<FaultyFileSystem>();
        const std::unique_ptr<rocksdb::Env> env = env_on(disk);
        RocksdbStorage::Options with;
        with.path = std::string(FaultyFileSystem::root) + "/karma.db";
        with.log_segment_bytes = 65'536;
        with.env = env.get();
        with.open_files_max = tables_max;
        disk->limit_open_files(tables_max - 10 + beside_tables);
        RocksdbStorage storage(with);
        const auto database = Database::open(client.options(), storage);
        client.work(*database, 600);
        CHECK(!database->has_failed());
        CHECK(disk->most_open_files() > tables_max - 10);
    }
}

TEST_CASE("storage faults: a full disk ends all acknowledging, and a restart has what was acknowledged") {
    fail_in_many_ways("full disk", Fault::no_space);
}

}  // namespace karma::test
