#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <boost/json/object.hpp>

#include "engine/number.h"
#include "engine/reply.h"
#include "replica/karma1/unnamed_file.h"
#include "replica/master_client.h"

/// What a Karma 1.0 stores beside its log, and gives to who asks. Everything throws ConnectionError and
/// ChannelError.
namespace karma::replica {

/// The latest file of a series.
struct TreeSnapshot {
    std::string series;
    std::string file;
    std::uint64_t timestamp = 0;  // Unix seconds
    std::uint64_t bytes = 0;
    Lsn last_lsn = 0;  // it holds everything up to there
};

/// Idempotency records and committed streams, stored with the last snapshot of everything.
struct RecordsSnapshot {
    std::uint64_t timestamp = 0;
    Lsn last_lsn = 0;

    bool operator==(const RecordsSnapshot&) const = default;
};

struct SnapshotList {
    std::vector<TreeSnapshot> trees;
    std::optional<RecordsSnapshot> records;  // none before the first snapshot of everything
    bool has_log = false;

    /// The last event that something of it holds; 0 without anything.
    Lsn last_lsn() const noexcept;
};

SnapshotList ask_snapshots(MasterClient& master);

/// Appends a file of the master's, part by part: `op` with these fields. Refused with `not_found` where there
/// is none any more.
void fetch(MasterClient& master, const char* op, const boost::json::object& fields, UnnamedFile& out);

std::vector<reply::Checkpoint> ask_checkpoints(MasterClient& master);

}  // namespace karma::replica
