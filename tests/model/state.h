#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/model/command.h"
#include "tests/model/values.h"

namespace karma::test::model {

struct Record {
    std::string key;
    std::string payload;
    json::value response;
    json::object request;  // the one that made it
};

struct Stream {
    std::string mode;
    std::optional<std::string> granularity;
    std::optional<std::string> series;
    std::vector<std::string> chunks;  // their payloads
    bool is_committed = false;
    SharedSeries staged;
    json::object begin;  // the request that made it
};

struct Checkpoint {
    std::optional<std::string> offset;
    std::optional<std::string> event_id;
};

// What a mutation does.
struct Outcome {
    std::string refused;  // the error code; empty when it is not
    json::value response;
    bool is_event = false;
    std::optional<bool> idempotent;
};

// Everything that mutations change, as plain dictionaries. A copy is cheap.
struct State {
    std::uint64_t lsn = 0;
    std::map<std::string, SharedSeries> series;
    Shared<std::deque<Record>> records;  // oldest first
    Shared<std::map<std::string, Stream>> streams;
    Shared<std::map<std::string, Checkpoint>> checkpoints;
    std::uint64_t records_max = 1'000'000;

    // Executes a mutation of protocol v2; one that is accepted takes the next LSN. `now` decides which
    // records an idempotency.prune finds: all of them are taken for made now.
    Outcome execute(const Command& command);

    const SharedSeries* find(const std::string& name) const;
    const Record* find_record(const std::string& key) const;
    std::size_t committed_streams() const;

private:
    Outcome change(const Command& command);
    Outcome point(const Command& command);
    Outcome batch(const Command& command);
    Outcome multi_add(const Command& command);
    Outcome erase(const Command& command);
    Outcome batch_erase(const Command& command);
    Outcome clean(const Command& command);
    Outcome ingest(const Command& command);
    Outcome chunk(Stream& stream, const Command& command);
    Outcome prune(const Command& command);
    Outcome prune_streams(const Command& command);
    Series& open(const std::string& name) { return series[name].change(); }
};

// What a read of the state answers. Throws Refusal.
json::value read(const State& state, const Command& command);

// The reply to ingest.begin, and to a commit of what is committed.
json::value describe(const std::string& id, const Stream& stream);

}  // namespace karma::test::model
