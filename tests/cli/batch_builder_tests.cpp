// The requests that carry rows: their text and their limits.
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "cli/batch_builder.h"
#include "cli/command_line.h"
#include "tests/support/fake_server.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

using cli::BatchBuilder;
using cli::BatchMode;
using cli::CsvRow;
using cli::UsageError;

constexpr std::uint64_t top = std::numeric_limits<std::uint64_t>::max();

}  // namespace

TEST_CASE("batch builder: the text of a request") {
    BatchBuilder builder({"i\"d", BatchMode::add, "a\"b"}, "", {});
    CHECK(builder.empty());
    CHECK(builder.add({.key = 1, .bucket = 20260505, .value = 2, .line = 7}));
    CHECK(builder.add({.key = top, .bucket = 10101, .value = top, .line = 9}));
    CHECK(
        builder.request(1) ==
        R"({"v":2,"op":"ingest.chunk","stream_id":"import/i\"d","series":"a\"b","items":[[1,20260505,2],[18446744073709551615,10101,18446744073709551615]],"chunk_seq":1})");
    CHECK(builder.batch().rows == 2);
    CHECK(builder.batch().first_line == 7);
    CHECK(builder.batch().last_line == 9);
    CHECK(to_decimal(builder.batch().total) == "18446744073709551617");
    builder.clear();
    CHECK(builder.empty());
    CHECK(builder.add({.key = 3, .bucket = 20260505, .value = 4, .line = 10}));
    CHECK(
        builder.request(2) ==
        R"({"v":2,"op":"ingest.chunk","stream_id":"import/i\"d","series":"a\"b","items":[[3,20260505,4]],"chunk_seq":2})");
    CHECK(builder.batch().first_line == 10);

    BatchBuilder with_token({"id", BatchMode::set, "s"}, "se\\cret", {});
    CHECK(with_token.add({.key = 1, .bucket = 20260505, .value = 0, .line = 1}));
    CHECK(
        with_token.request(9) ==
        R"({"v":2,"op":"ingest.chunk","token":"se\\cret","stream_id":"import/id","series":"s","items":[[1,20260505,0]],"chunk_seq":9})");
}

TEST_CASE("batch builder: a token, or the number of a batch, changes no batch") {
    auto random = random_engine("batches and tokens");
    std::vector<CsvRow> rows(2'000);
    for (CsvRow& row : rows) row = {.key = random(), .bucket = 20260505, .value = random() % 1000, .line = 1};
    const auto batches = [&](const std::string& token, std::uint64_t number) {
        std::vector<std::uint64_t> sizes;
        BatchBuilder builder({"id", BatchMode::add, "s"}, token, {});
        for (const CsvRow& row : rows) {
            if (builder.add(row)) continue;
            sizes.push_back(builder.batch().rows);
            CHECK(builder.request(number).size() <= cli::BatchLimits{}.request_bytes);
            builder.clear();
            CHECK(builder.add(row));
        }
        return sizes;
    };
    const auto expected = batches("", 1);
    CHECK(expected.size() > 10);
    CHECK(batches("secret", 1) == expected);
    CHECK(batches(std::string(100, 't'), top) == expected);
    CHECK(batches(std::string(300, 't'), top) != expected);  // documented: too long for the room it has
}

TEST_CASE("batch builder: as many rows as both limits allow") {
    auto random = random_engine("batch limits");
    for (int round = 0; round < 300; ++round) {
        const std::size_t items = random_between(random, 1, 30);
        const std::size_t request_bytes = random_between(random, 310, 1'700);
        CAPTURE(items);
        CAPTURE(request_bytes);
        BatchBuilder builder({"id", BatchMode::add, "s"}, "",
                             {.items = items, .request_bytes = request_bytes});
        std::vector<Item> rows;
        CsvRow row;
        while (true) {
            row = {.key = random() >> random_between(random, 0, 63),
                   .bucket = 20260505,
                   .value = random() >> random_between(random, 0, 63),
                   .line = rows.size() + 1};
            if (!builder.add(row)) break;
            rows.push_back({row.key, row.bucket, row.value});
            REQUIRE(rows.size() <= items);
        }
        const std::string request(builder.request(top));
        CHECK(request.size() <= request_bytes);
        CHECK(items_of(request) == rows);
        const std::size_t next =
            (",[" + std::to_string(row.key) + ",20260505," + std::to_string(row.value) + "]").size();
        CHECK((rows.size() == items || request.size() + next + BatchBuilder::token_bytes > request_bytes));
    }
}

TEST_CASE("batch builder: the longest row fits, or the limit is refused") {
    const CsvRow longest{.key = top, .bucket = 99991231, .value = top, .line = 1};
    std::size_t smallest = 0;
    for (std::size_t bytes = 1; smallest == 0 && bytes < 600; ++bytes) {
        try {
            BatchBuilder builder({"id", BatchMode::add, "series"}, std::string(200, 't'),
                                 {.items = 10, .request_bytes = bytes});
            REQUIRE(builder.add(longest));
            CHECK(!builder.add(longest));
            CHECK(builder.request(top).size() == bytes);
            smallest = bytes;
        } catch (const UsageError& error) {
            CHECK(std::string(error.what())
                      .starts_with("--request-bytes " + std::to_string(bytes) + " is too small"));
        }
    }
    CHECK(smallest > 0);
}

}  // namespace karma::test
