#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "engine/idempotency.h"
#include "engine/number.h"

namespace karma {

enum class StorageKind : std::uint8_t { rocksdb, memory };

/// How a database is opened.
struct DatabaseOptions {
    std::filesystem::path directory = ".";
    StorageKind storage = StorageKind::rocksdb;
    bool wal = true;        // false: nothing but snapshots survives
    bool wal_fsync = true;  // false: events are handed to the operating system, not synced
    std::uint64_t wal_segment_bytes = 67'108'864;  // 0: no limit
    std::uint32_t wal_batch_size = 1024;           // events in a commit group at most
    std::uint32_t wal_batch_wait_us = 0;           // how long a group that is not full waits for more
    bool restore = true;                           // false: put an existing database aside and start empty
    bool read_only = false;                        // the slave role
    /// Where the storage lies, for a storage of the caller's: a database that finds itself in another place
    /// than the one it was last opened in is a copy (see NodeIdentity). Empty: it never is one.
    std::string place;
    /// Whether the storage was closed in good order when it was last used. A copy of one that was not may
    /// miss events that were acknowledged.
    bool ended_cleanly = true;
    /// A mutation's reply waits until so many followers have it; 0: it does not.
    std::uint32_t replication_min_acks = 0;
    std::uint32_t replication_ack_timeout_ms = 1000;
    std::optional<Lsn> restore_from;  // begin with no newer snapshot than this; 0: with none
    unsigned snapshots_retained = 5;  // for each series
    /// A snapshot of everything that often, if something changed; 0: never.
    std::uint32_t snapshot_interval_s = 3600;
    std::uint64_t event_retention_s = 604'800;  // events older than that are dropped; 0: none are
    std::uint64_t event_retention_bytes = 0;    // the oldest are dropped while the log is longer; 0: none are
    IdempotencyRetention idempotency;
    std::size_t series_max = 0;              // a request that would make more is refused; 0: no limit
    std::size_t streams_max = 0;             // the same of ingest streams: see IngestStreams::weight
    unsigned storage_open_files = 256;       // that RocksDB holds open of its tables
    std::function<std::int64_t()> clock_ms;  // Unix milliseconds; empty: the machine's clock
    /// Milliseconds that never step; empty: `clock_ms` where that is given, or else the machine's.
    std::function<std::int64_t()> steady_ms;
    std::function<std::uint64_t()> random;  // 64 bits that nobody can foresee; empty: the machine's
    /// False: no threads. Whoever waits for an event to be durable commits it, and `maintain` is to be
    /// called now and then.
    bool threads = true;
    /// Asked now and then while the state is restored: true ends `open` with a RequestError, with nothing
    /// changed but what a crash would have left. Empty: never.
    std::function<bool()> gives_up;
    /// Told of what failed in the background, from another thread.
    std::function<void(const std::string& what, const std::string& why)> on_failure;
    /// Told of what the operator should know, from another thread.
    std::function<void(const std::string& event, const std::string& message)> on_warning;
    /// For the statistics: lines of the program's log that were dropped. Quick, from any thread; empty: none.
    std::function<std::uint64_t()> log_lines_dropped;
};

}  // namespace karma
