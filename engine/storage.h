#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "engine/number.h"

namespace karma {

/// An operation of the storage has failed; the message names the operation and the cause.
class StorageError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Key-value tables beside the log.
enum class Table : std::uint8_t { meta, snapshots, idempotency, streams };

/// A record to be written, or to be removed if it has no value.
struct RecordChange {
    Table table = Table::meta;
    std::string key;
    std::optional<std::string> value;
};

/// Events that are committed together: `bytes` is what EventGroupBuilder wrote.
struct EventGroup {
    Lsn first_lsn = 0;
    std::uint32_t count = 0;
    std::string_view bytes;
};

/// Writes many records of one table at once.
class BulkWriter {
public:
    BulkWriter() = default;
    BulkWriter(const BulkWriter&) = delete;
    BulkWriter& operator=(const BulkWriter&) = delete;
    virtual ~BulkWriter() = default;

    /// Adds a record. Keys are added in ascending order.
    virtual void add(std::string_view key, std::string_view value) = 0;

    /// Puts the records into the table: all or none of them, on disk when it returns. Without it nothing is
    /// written.
    virtual void commit() = 0;
};

/// The storage that an engine needs: a log of event groups, and records that are written in the same atomic
/// batch as the events from which they follow.
///
/// One thread appends; meanwhile any thread may read, and call the functions for records. All functions throw
/// StorageError when they fail, and CorruptionError when stored bytes are damaged.
class Storage {
public:
    Storage() = default;
    Storage(const Storage&) = delete;
    Storage& operator=(const Storage&) = delete;
    virtual ~Storage() = default;

    /// Writes a group and the record changes that follow from it, all or nothing. `group.first_lsn` is the
    /// position at which the writer expects to write: refused, with nothing written, unless it is `next_lsn`.
    /// With `sync` it is on disk when this returns, otherwise with the operating system. After a failure the
    /// storage refuses everything that writes.
    virtual void append(const EventGroup& group, std::span<const RecordChange> records, bool sync) = 0;

    /// The position of the next event: one more than the last event of the log.
    virtual Lsn next_lsn() const = 0;

    /// Makes the log go on at `lsn`, ahead of `next_lsn`: only a snapshot has the events between.
    virtual void skip_to(Lsn lsn) = 0;

    /// Calls `visit` for each group, in order, that holds an event with an LSN of `from` or above (the first
    /// one may begin below it), until it returns false. Sees a consistent state of the log.
    virtual void read_log(Lsn from, const std::function<bool(const EventGroup&)>& visit) const = 0;

    /// About how many bytes the log takes.
    virtual std::uint64_t log_bytes() const = 0;

    /// About how many bytes the groups take that have an event with an LSN of `from` or above.
    virtual std::uint64_t log_bytes_from(Lsn from) const = 0;

    /// Removes the groups that hold only events below `lsn`, but never the last group, and gives their space
    /// back.
    virtual void erase_log_below(Lsn lsn) = 0;

    /// Removes all events and records and writes these records instead, all or nothing, synced. The log goes
    /// on at LSN 1. Nothing may append or write beside it.
    virtual void clear(std::span<const RecordChange> records) = 0;

    /// Stores the durable position, so that a start notices when a part of the files is missing. Called every
    /// few seconds; at a clean end a storage does it by itself.
    virtual void mark_durable() {}

    /// Writes records, all or nothing.
    virtual void write(std::span<const RecordChange> records, bool sync) = 0;

    virtual std::optional<std::string> read(Table table, std::string_view key) const = 0;

    /// Calls `visit(key, value)` for each record whose key begins with `prefix`, by key ascending, until it
    /// returns false. It may see some of the changes that are made meanwhile.
    virtual void scan(Table table, std::string_view prefix,
                      const std::function<bool(std::string_view, std::string_view)>& visit) const = 0;

    /// The same of each record with a key from `begin` on.
    virtual void scan_from(Table table, std::string_view begin,
                           const std::function<bool(std::string_view, std::string_view)>& visit) const = 0;

    /// Removes the records whose key begins with `prefix`.
    virtual void erase_prefix(Table table, std::string_view prefix) = 0;

    /// Removes the records with a key from `begin` on and below `end`.
    virtual void erase_range(Table table, std::string_view begin, std::string_view end) = 0;

    /// The last key that begins with `prefix`.
    virtual std::optional<std::string> last_key(Table table, std::string_view prefix) const = 0;

    /// For many or large records: they are written without the write-ahead log, so that appends do not wait
    /// for them. One thread may use it while others use the storage.
    virtual std::unique_ptr<BulkWriter> bulk_writer(Table table) = 0;

    /// Frees the space of removed records; takes as long as rewriting the records beside them.
    virtual void reclaim(Table table) = 0;

    /// The same for the records with a key from `begin` on and below `end`, which were all removed: later
    /// reads need not skip anything in their place.
    virtual void reclaim_range(Table table, std::string_view begin, std::string_view end) = 0;

    /// Does the same as `reclaim` for tables with many removed ranges, so that reads and starts do not get
    /// slower with their number. Called in the background, some time after the start.
    virtual void tidy() {}

    /// The process is stopping: makes `reclaim`, `reclaim_range` and `tidy` return early, also those under
    /// way, and leave the rest to the next run. From any thread.
    virtual void end_maintenance() {}

    /// True once a failure, of whatever kind of write, has made it refuse everything that writes. From any
    /// thread.
    virtual bool refuses_writes() const noexcept { return false; }

    /// Makes a storage usable again that has refused to write since a failure; does nothing if it is usable.
    /// Throws StorageError if it is still not usable, or if `append` has failed, because only a restart shows
    /// what that has written. No other thread may write meanwhile.
    virtual void recover() {}
};

}  // namespace karma
