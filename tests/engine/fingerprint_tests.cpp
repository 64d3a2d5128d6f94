#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "engine/fingerprinter.h"
#include "engine/timestamp.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

const Day may_5 = *day_from_yyyymmdd(20260505);

/// Of a command, at a time of no matter: it names its days.
std::string lines(const Mutation& command) { return std::string(Fingerprinter().lines_of(command, 0)); }

}  // namespace

TEST_CASE("fingerprint: the one that the reference implementation has recorded") {
    Fingerprinter fingerprinter;
    const Mutation body = mutation::Increment{"links", 1, may_5, 1};
    const std::string expected = "2c103b0b35365e8ea4f8c663ec1c99a816fdbbf01cc28eeb32ae3b46ed75928f";
    CHECK(fingerprinter.of(body, 0).hex() == expected);
    CHECK(fingerprinter.of(body, 0).hex() == expected);  // and again, from the same buffers
    CHECK(Fingerprint::from_hex(expected) == fingerprinter.of(body, 0));
}

TEST_CASE("fingerprint: the canonical lines of each command") {
    using namespace mutation;
    const std::vector<Item> items = {{1, may_5, 2}, {largest, may_5, 0}};
    const std::vector<std::uint64_t> keys = {7, 8};
    const DayRange range{may_5, may_5};
    const std::string item_lines =
        "items_count:i:2\nitem_key:u:1\nitem_bucket:u:20260505\nitem_value:u:2\n"
        "item_key:u:18446744073709551615\nitem_bucket:u:20260505\nitem_value:u:0\n";
    const std::string range_lines = "range_from:u:20260505\nrange_to:u:20260505\n";
    const std::string key_lines = "keys_count:i:2\nkey_value:u:7\nkey_value:u:8\n";
    CHECK(lines(Increment{"links", 1, may_5, 1}) ==
          "command:s:9:increment\nseries:s:5:links\nkey:u:1\nbucket:u:20260505\nvalue:u:1\n");
    CHECK(lines(Decrement{"серия", 1, may_5, 1}) ==
          "command:s:9:decrement\nseries:s:10:серия\nkey:u:1\nbucket:u:20260505\nvalue:u:1\n");
    CHECK(lines(BatchAdd{"a", items}) == "command:s:9:batch_add\nseries:s:1:a\n" + item_lines);
    CHECK(lines(BatchSet{"a", items}) == "command:s:9:batch_set\nseries:s:1:a\n" + item_lines);
    CHECK(lines(BatchReset{"a", keys}) == "command:s:11:batch_reset\nseries:s:1:a\n" + key_lines);
    CHECK(lines(BatchDeleteRange{"a", keys, range}) ==
          "command:s:18:batch_delete_range\nseries:s:1:a\n" + key_lines + range_lines);
    CHECK(lines(DeleteCounterRange{"a", 5, range}) ==
          "command:s:6:delete\nseries:s:1:a\nkey:u:5\n" + range_lines);
    CHECK(lines(DeleteSeriesRange{"a", range}) == "command:s:6:delete\nseries:s:1:a\nkey:n\n" + range_lines);
    CHECK(lines(ResetCounter{"a", 5}) == "command:s:5:reset\nseries:s:1:a\nkey:u:5\n");
    CHECK(lines(ResetSeries{"a"}) == "command:s:5:reset\nseries:s:1:a\nkey:n\n");
    CHECK(lines(BeginStream{"i", IngestMode::replace_series, std::nullopt}) ==
          "command:s:12:ingest_begin\nstream_id:s:1:i\nmode:s:14:replace_series\ngranularity:n\n");
    CHECK(lines(BeginStream{"i", IngestMode::add, "day"}) ==
          "command:s:12:ingest_begin\nstream_id:s:1:i\nmode:s:3:add\ngranularity:s:3:day\n");
    CHECK(lines(AddChunk{"i", "a", 3, items}) ==
          "command:s:12:ingest_chunk\nstream_id:s:1:i\nseries:s:1:a\nchunk_seq:u:3\n" + item_lines);
    CHECK_THROWS_AS(lines(CompactAll{}), std::logic_error);
}

TEST_CASE("fingerprint: hexadecimal text, both ways") {
    const std::string text = std::string(62, '0') + "fe";
    CHECK(Fingerprint::from_hex(text)->hex() == text);
    CHECK(!Fingerprint::from_hex(text.substr(1)));
    CHECK(!Fingerprint::from_hex(std::string(63, '0') + "F"));
}

TEST_CASE("timestamp: RFC 3339") {
    CHECK(unix_ms_from_rfc3339("1970-01-01T00:00:00Z") == 0);
    CHECK(unix_ms_from_rfc3339("2020-01-01T00:00:00Z") == 1'577'836'800'000);
    CHECK(unix_ms_from_rfc3339("2026-05-05t13:30:01.999z") == 1'777'987'801'999);
    CHECK(unix_ms_from_rfc3339("2026-05-05 15:30:01+02:00") == 1'777'987'801'000);
    CHECK(unix_ms_from_rfc3339("2026-05-05T08:00:01-05:30") == 1'777'987'801'000);
    CHECK(unix_ms_from_rfc3339("1969-12-31T23:59:60Z") == 0);
    for (const char* const wrong :
         {"", "2026-05-05", "2026-05-05T13:30:00", "2026-02-30T00:00:00Z", "2026-05-05T24:00:00Z",
          "2026-05-05T13:60:00Z", "2026-05-05T13:30:00.Z", "2026-05-05T13:30:00+2:00", "20260505T133000Z",
          "2026-05-05T13:30:00Zx", "yesterday", "2026-05-05T13:30:00+24:00"}) {
        CAPTURE(wrong);
        CHECK(!unix_ms_from_rfc3339(wrong));
    }
}

}  // namespace karma::test
