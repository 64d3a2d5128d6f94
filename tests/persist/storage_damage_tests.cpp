// What is damaged on the disk while nobody looks: flipped bits, files cut short, files that are gone, and
// reads that fail. Either every answer is right, or the start or the answer is refused with what is wrong.
#include <algorithm>
#include <map>
#include <regex>
#include <string>

#include <doctest/doctest.h>

#include "engine/error.h"
#include "tests/persist/fault_client.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

std::size_t damage_rounds(std::size_t usual) {
    return number_from_environment("KARMA_TEST_ROUNDS", scaled(usual));
}

/// A disk with a database that was filled by a client, and closed or left by a crash of the process.
struct Filled {
    Filled(std::uint64_t seed, bool closed) : client(seed), disk(std::make_shared<FaultyFileSystem>()) {
        const std::uint64_t starts = random_between(client.random(), 1, 2);
        for (std::uint64_t start = 0; start < starts; ++start) {
            Machine machine(disk);
            client.work(machine.open(client.options()), random_between(client.random(), 5, 60));
            if (!closed && start + 1 == starts) disk->crash_now(Crash::process, 0);
        }
        if (!closed) disk = disk->take_remains();
    }

    FaultClient client;
    std::shared_ptr<FaultyFileSystem> disk;
};

std::string kind_of(const std::string& path) {
    const std::string name = path.substr(path.rfind('/') + 1);
    if (name.ends_with(".log") || name.ends_with(".sst")) return name.substr(name.size() - 4);
    return name.substr(0, name.find('-'));
}

/// A file of a kind that is chosen first, as there are many tables and one CURRENT.
std::string some_file(std::mt19937_64& random, const FaultyFileSystem& disk) {
    std::map<std::string, std::vector<std::string>> kinds;
    for (const std::string& path : disk.files()) {
        if (!disk.content(path).empty()) kinds[kind_of(path)].push_back(path);
    }
    const auto kind =
        std::next(kinds.begin(), static_cast<std::ptrdiff_t>(random_between(random, 0, kinds.size() - 1)));
    return kind->second[random_between(random, 0, kind->second.size() - 1)];
}

/// The kinds of files that were damaged, and how often that was refused.
struct Tally {
    std::map<std::string, std::size_t> damaged;
    std::map<std::string, std::size_t> refused;
};

/// What a failure says has to be of use: it names a file, or the LSN or the series of what is damaged.
void check_names_damage(const std::string& what) {
    CAPTURE(what);
    static const std::regex named(R"(/disk/karma\.db|\d+\.sst|LSN \d+|[Ss]eries "s\d")");
    CHECK(std::regex_search(what, named));
}

/// Asks for everything. True when all of it was answered, and right.
bool is_whole(Database& database, const FaultClient& client) {
    REQUIRE(database.wait_until_ready());
    CHECK(database.last_lsn() == client.last_lsn());
    CHECK(database.digest() == client.digest());
    const std::string health = std::get<reply::Health>(database.call(query::Health{})).status;
    if (health != "ok") {
        check_names_damage(health);
        return false;
    }
    for (const Request& request :
         {Request(query::VerifySnapshots{}), Request(query::LogEntries{0, 100'000})}) {
        const Reply reply = database.call(request);
        const auto* const refused = std::get_if<Error>(&reply);
        if (refused != nullptr && refused->code != ErrorCode::replication_gap) {
            CHECK(refused->code == ErrorCode::internal_error);
            check_names_damage(refused->message);
            return false;
        }
    }
    return true;
}

/// Opens what was damaged.
bool opens_whole(const std::shared_ptr<FaultyFileSystem>& disk, FaultClient& client) {
    Machine machine(disk);
    try {
        Database& database = machine.open(client.options());
        if (!is_whole(database, client)) return false;
        client.send_again(database);
        client.work(database, 5);
        return !database.has_failed();
    } catch (const StorageError& failure) {
        check_names_damage(failure.what());
    } catch (const CorruptionError& failure) {
        check_names_damage(failure.what());
    }
    return false;
}

using Damage = std::function<void(std::mt19937_64& random, FaultyFileSystem& disk, const std::string& path)>;

void damage_in_many_ways(const char* purpose, bool closed, const Damage& damage) {
    std::mt19937_64 random = random_engine(purpose);
    Tally tally;
    for (std::size_t round = 0; round < damage_rounds(25); ++round) {
        CAPTURE(round);
        Filled filled(random(), closed);
        const std::string path = some_file(random, *filled.disk);
        CAPTURE(path);
        damage(random, *filled.disk, path);
        ++tally.damaged[kind_of(path)];
        tally.refused[kind_of(path)] += opens_whole(filled.disk, filled.client) ? 0 : 1;
    }
    for (const auto& [kind, count] : tally.damaged) {
        MESSAGE(std::string(purpose) << ", " << kind << ": " << count << " times, refused "
                                     << tally.refused[kind]);
    }
}

/// The highest bit of the count that ends a table's block of properties: RocksDB looks at the block before it
/// checks its checksum, and the distributions' build stops the process with an assertion.
bool is_fatal_to_rocksdb(const std::string& path, const std::string& bytes, std::uint64_t bit) {
    const std::uint64_t at = bit / 8;
    return path.ends_with(".sst") && bit % 8 == 7 && at >= 3 &&
           bytes.compare(at - 3, 4, std::string("\1\0\0\0", 4)) == 0;
}

void flip_bit(std::mt19937_64& random, FaultyFileSystem& disk, const std::string& path) {
    std::string bytes = disk.content(path);
    const std::uint64_t from = one_in(random, 3) && bytes.size() > 200 ? bytes.size() - 200 : 0;
    std::uint64_t bit = 0;
    do {
        bit = random_between(random, from * 8, bytes.size() * 8 - 1);
    } while (is_fatal_to_rocksdb(path, bytes, bit));
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    disk.set_content(path, std::move(bytes));
}

void cut(std::mt19937_64& random, FaultyFileSystem& disk, const std::string& path) {
    std::string bytes = disk.content(path);
    bytes.resize(random_between(random, 0, bytes.size() - 1));
    disk.set_content(path, std::move(bytes));
}

}  // namespace

TEST_CASE("storage damage: a flipped bit anywhere gives no wrong answer, after a clean end") {
    damage_in_many_ways("flipped bit", true, flip_bit);
}

TEST_CASE("storage damage: a flipped bit anywhere gives no wrong answer, after a crash") {
    damage_in_many_ways("flipped bit after a crash", false, flip_bit);
}

TEST_CASE("storage damage: a file that was cut gives no wrong answer, after a clean end") {
    damage_in_many_ways("cut file", true, cut);
}

TEST_CASE("storage damage: a file that is gone gives no wrong answer, after a clean end") {
    damage_in_many_ways(
        "file removed", true,
        [](std::mt19937_64&, FaultyFileSystem& disk, const std::string& path) { disk.remove(path); });
}

TEST_CASE("storage damage: reads that fail give no wrong answer, and nothing is lost when they work again") {
    std::mt19937_64 random = random_engine("read errors");
    std::uint64_t failures = 0;
    for (std::size_t round = 0; round < damage_rounds(25); ++round) {
        CAPTURE(round);
        Filled filled(random(), one_in(random, 2));
        FaultPlan plan;
        plan.fault = Fault::read_error;
        plan.after = random_between(random, 0, 60);
        plan.count = one_in(random, 2) ? forever : random_between(random, 1, 3);
        Machine machine(filled.disk);
        try {
            const bool from_the_start = one_in(random, 2);
            if (from_the_start) filled.disk->fail(plan, random());
            Database& database = machine.open(filled.client.options());
            REQUIRE(database.wait_until_ready());
            if (!from_the_start) filled.disk->fail(plan, random());
            is_whole(database, filled.client);
        } catch (const StorageError& failure) {
            check_names_damage(failure.what());
        } catch (const CorruptionError& failure) {
            check_names_damage(failure.what());
        }
        failures += filled.disk->failures();
        filled.disk->heal();
        machine.close();
        CHECK(opens_whole(filled.disk, filled.client));
    }
    CHECK(failures > 0);
}

}  // namespace karma::test
