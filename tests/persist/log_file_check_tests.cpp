#include <string>

#include <doctest/doctest.h>

#include "persist/log_file_check.h"
#include "tests/persist/fault_client.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

/// The largest write-ahead log that a client leaves behind.
std::string some_log(std::uint64_t seed) {
    const auto disk = std::make_shared<FaultyFileSystem>();
    FaultClient client(seed);
    Machine machine(disk);
    DatabaseOptions options = client.options();
    options.wal_segment_bytes = 10'000'000;
    client.work(machine.open(options), 60);
    machine.close();
    std::string log;
    for (const std::string& path : disk->files()) {
        if (path.ends_with(".log") && disk->content(path).size() > log.size()) log = disk->content(path);
    }
    return log;
}

}  // namespace

TEST_CASE("log file check: a log that a crash has cut anywhere is no damaged one") {
    std::mt19937_64 random = random_engine("cut logs");
    for (std::size_t round = 0; round < scaled(5); ++round) {
        const std::string log = some_log(random());
        REQUIRE(log.size() > 1'000);
        CHECK(hidden_damage(log).empty());
        CHECK(hidden_damage(log + std::string(5'000, '\0')).empty());
        for (int i = 0; i < 300; ++i) {
            const std::size_t size = random_between(random, 0, log.size());
            CAPTURE(size);
            CHECK(hidden_damage(std::string_view(log).substr(0, size)).empty());
        }
    }
}

TEST_CASE("log file check: each bit of the lengths and types of records that hides what follows is found") {
    std::mt19937_64 random = random_engine("damaged headers");
    const std::string log = some_log(random());
    std::size_t at = 0;
    std::size_t headers = 0;
    while (at + 7 <= log.size() && headers < scaled(300)) {
        const std::size_t left = 32'768 - at % 32'768;
        if (left < 7) {
            at += left;
            continue;
        }
        const std::size_t length =
            static_cast<unsigned char>(log[at + 4]) + 256U * static_cast<unsigned char>(log[at + 5]);
        for (std::size_t bit = 0; bit < 24; ++bit) {
            CAPTURE(at);
            CAPTURE(bit);
            std::string damaged = log;
            damaged[at + 4 + bit / 8] = static_cast<char>(damaged[at + 4 + bit / 8] ^ (1 << (bit % 8)));
            const std::size_t now = static_cast<unsigned char>(damaged[at + 4]) +
                                    256U * static_cast<unsigned char>(damaged[at + 5]);
            const auto type = static_cast<unsigned char>(damaged[at + 6]);
            // What still fits has a checksum that does not, and that RocksDB reports.
            const bool fits = now + 7 <= std::min(left, log.size() - at) && type >= 1 && type <= 4;
            if (!fits) CHECK(contains(hidden_damage(damaged), "damaged at byte " + std::to_string(at)));
        }
        at += 7 + length;
        ++headers;
    }
    CHECK(headers > 5);
}

}  // namespace karma::test
