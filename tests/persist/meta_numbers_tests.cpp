#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "engine/error.h"
#include "persist/database.h"
#include "persist/memory_storage.h"
#include "persist/meta_numbers.h"

namespace karma::test {

namespace {

void write(Storage& storage, const RecordChange& change) { storage.write(std::span(&change, 1), true); }

}  // namespace

TEST_CASE("meta numbers: what is written is read back") {
    MemoryStorage storage;
    CHECK_FALSE(read_meta_number(storage, "one"));
    CHECK_FALSE(read_meta_numbers(storage, "three", 3));
    write(storage, meta_numbers_change("one", {18446744073709551615U}));
    write(storage, meta_numbers_change("three", {0, 7, 18446744073709551615U}));
    CHECK(storage.read(Table::meta, "three") == "0 7 18446744073709551615");
    CHECK(read_meta_number(storage, "one") == 18446744073709551615U);
    const auto three = read_meta_numbers(storage, "three", 3);
    REQUIRE(three);
    CHECK(*three == std::vector<std::uint64_t>{0, 7, 18446744073709551615U});
}

TEST_CASE("meta numbers: a damaged record is refused, and the error names it") {
    MemoryStorage storage;
    for (const char* const text : {"", " ", "1", "1 ", " 1 2", "1  2", "1 2 ", "1 2 3", "1,2", "1 x", "1 -2",
                                   "1 18446744073709551616"}) {
        CAPTURE(text);
        write(storage, {Table::meta, "pair", text});
        try {
            read_meta_numbers(storage, "pair", 2);
            FAIL("it was read");
        } catch (const CorruptionError& failure) {
            CHECK(std::string(failure.what()) ==
                  "the record pair of the database is damaged: it is not 2 numbers");
        }
    }
}

TEST_CASE("meta numbers: a database says which of its records is damaged") {
    for (const char* const key : {"hash_seed", "first_idempotency_lsn", "last_snapshot_lsn", "fenced_by"}) {
        CAPTURE(key);
        MemoryStorage storage;
        DatabaseOptions options;
        Database::open(options, storage);
        write(storage, {Table::meta, key, "12x"});
        std::string why;
        try {
            const auto database = Database::open(options, storage);
            // Idempotency records are read after the start.
            database->wait_until_ready();
            const Reply reply = database->call(query::Health{});
            why = std::get<reply::Health>(reply).status;
        } catch (const CorruptionError& failure) {
            why = failure.what();
        }
        CHECK(why.find("the record " + std::string(key) + " of the database is damaged") !=
              std::string::npos);
    }
}

}  // namespace karma::test
