#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "engine/error.h"
#include "engine/record_codec.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

struct Kept {
    Lsn lsn;
    std::string key;
    std::int64_t created;
    Operation operation;
    std::string fingerprint;
    std::vector<std::uint64_t> response;

    bool operator==(const Kept&) const = default;
};

Kept keep(const IdempotencyRecord& record) {
    return {record.lsn,
            std::string(record.key),
            record.created_at_unix,
            record.operation,
            record.fingerprint.hex(),
            {record.response.begin(), record.response.begin() + record.response_size}};
}

std::vector<Kept> read_all(std::string_view bytes) {
    std::vector<Kept> all;
    read_records(bytes, [&](const IdempotencyRecord& record) { all.push_back(keep(record)); });
    return all;
}

}  // namespace

TEST_CASE("record codec: idempotency records come back as they were") {
    const std::vector<Reply> replies = {reply::Ok{},
                                        reply::Deleted{},
                                        reply::Number{5},
                                        reply::Added{3, (Uint128{7} << 64U) + 9},
                                        reply::Applied{4},
                                        reply::BatchResetDone{1, 2},
                                        reply::BatchDeleted{3, 4}};
    std::string bytes;
    std::vector<Kept> expected;
    for (const Reply& reply : replies) {
        IdempotencyRecord record;
        record.lsn = 1'000 + expected.size();
        const std::string key(1 + expected.size() * 40, 'k');
        record.key = key;
        record.created_at_unix = 1'795'208'099;
        record.operation = static_cast<Operation>(1 + expected.size());
        record.fingerprint.bytes.fill(static_cast<unsigned char>(expected.size()));
        set_response(record, reply);
        append_record(record, bytes);
        expected.push_back(keep(record));
    }
    CHECK(expected[3].response == std::vector<std::uint64_t>{3, 7, 9});
    CHECK(expected[6].response == std::vector<std::uint64_t>{3, 4});
    CHECK(read_all(bytes) == expected);
    CHECK(read_all("").empty());
    std::size_t damaged = 0;
    for (std::size_t size = 1; size < bytes.size(); ++size) {
        std::size_t left = 0;
        try {
            left = read_all(std::string_view(bytes).substr(0, size)).size();
        } catch (const CorruptionError&) {
            ++damaged;
        }
        CHECK(left < expected.size());
    }
    CHECK(damaged == bytes.size() - replies.size());  // all but the cuts between two records
}

TEST_CASE("record codec: streams come back as they were, and damage is seen") {
    StreamInfo stream;
    stream.id = "import-1";
    stream.mode = IngestMode::set;
    stream.series = "links";
    stream.lsn = 77;
    stream.chunks->fingerprints.resize(3);
    stream.chunks->fingerprints[2].bytes.fill(9);
    for (const std::optional<std::int64_t> committed :
         {std::optional<std::int64_t>(), std::optional<std::int64_t>(5)}) {
        stream.committed_at_unix = committed;
        stream.granularity = committed ? std::optional<std::string>("day") : std::nullopt;
        const StreamInfo again = decode_stream(encode_stream(stream));
        CHECK(again.id == stream.id);
        CHECK(again.mode == stream.mode);
        CHECK(again.granularity == stream.granularity);
        CHECK(again.series == stream.series);
        CHECK(again.lsn == stream.lsn);
        CHECK(again.committed_at_unix == committed);
        CHECK(again.chunks->fingerprints == stream.chunks->fingerprints);
        CHECK(digest_of(again) == digest_of(stream));
    }
    const std::string bytes = encode_stream(stream);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        CHECK_THROWS_AS(decode_stream(std::string_view(bytes).substr(0, size)), CorruptionError);
    }
    std::string other_version = bytes;
    other_version[1] = 9;
    CHECK_THROWS_AS(decode_stream(other_version), CorruptionError);
}

TEST_CASE("record codec: damage that announces more than there is takes no memory for it") {
    for (const std::string_view claim :
         {std::string_view("\xdd\x10\0\0\0", 5), std::string_view("\xdf\x10\0\0\0", 5),
          std::string_view("\xdd\xff\xff\xff\xff", 5)}) {
        CHECK_THROWS_AS(read_records(claim, [](const IdempotencyRecord&) {}), CorruptionError);
        CHECK_THROWS_AS(decode_stream(claim), CorruptionError);
    }
}

}  // namespace karma::test
