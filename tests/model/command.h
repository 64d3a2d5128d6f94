#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/model/values.h"

namespace karma::test::model {

// A point of the past: an LSN, or a time.
struct AsOf {
    bool is_time = false;
    std::uint64_t lsn = 0;
    std::int64_t time = 0;
};

// A request whose fields are right, as protocol v2 describes them.
struct Command {
    std::string op;  // its name, not an alias
    bool is_write = false;
    std::string series;
    std::uint64_t key = 0;
    Day day = 0;
    std::uint64_t value = 1;
    std::optional<Range> range;
    std::vector<Item> items;
    std::vector<SeriesItem> series_items;  // of counter.multi_add
    std::vector<std::uint64_t> keys;
    std::vector<std::pair<std::string, std::uint64_t>> series_keys;
    std::uint64_t limit = 0;
    std::optional<std::uint64_t> cursor;  // also after_lsn, offset
    std::optional<AsOf> as_of;
    std::string stream_id;
    std::string mode;
    std::optional<std::string> granularity;
    std::uint64_t chunk_seq = 0;
    std::optional<std::string> source, offset, event_id;
    std::int64_t before = 0;  // Unix seconds
    std::optional<std::uint64_t> prune_limit;
    // event.list
    std::optional<std::uint64_t> event_key;
    std::optional<std::int64_t> from_time, to_time;
    std::optional<std::string> idempotency_key;
    std::string fingerprint;
    std::string file;
    // What snapshot.load puts in the place of the series.
    std::optional<SharedSeries> content;
    json::object request;  // as it was sent
};

// Why a request is refused.
struct Refusal {
    std::string code;
};

// Throws Refusal: the checks up to the fields, in the order of the protocol.
Command read_command(const json::value& request);

// What two requests with one idempotency key have in common: the lines of the protocol's fingerprint.
std::string payload_of(const Command& command);

// The request of protocol v2 that has the same effect: `entry` of event.list and replication.entries.
json::object entry_of(const Command& command);

}  // namespace karma::test::model
