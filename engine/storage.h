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

/// Storage could not do what was asked; the message names the operation and the cause.
class StorageError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Key-value tables beside the log.
enum class Table : std::uint8_t { meta, snapshots, idempotency, streams };

/// A record to be written, or removed where it has no value.
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

    /// Adds a record; each key is above the one before.
    virtual void add(std::string_view key, std::string_view value) = 0;

    /// Puts the records into the table: all or none of them, on disk when it returns. Without it nothing is
    /// written.
    virtual void commit() = 0;
};

/// What the engine needs of storage: a log of event groups, records that are written in the same atomic batch
/// as the events they follow from, and nothing else.
///
/// One thread appends; reading and the records' functions may be called from any thread meanwhile. Everything
/// throws StorageError when it fails, and CorruptionError when what it reads is not what was written.
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

    /// Says that the log goes on at `lsn`, ahead of `next_lsn`: the events between are in a snapshot only.
    virtual void skip_to(Lsn lsn) = 0;

    /// Calls `visit` for each group, in order, that holds an event with an LSN of `from` or above (the first
    /// one may begin below it), until it returns false. Sees a consistent state of the log.
    virtual void read_log(Lsn from, const std::function<bool(const EventGroup&)>& visit) const = 0;

    /// Bytes that the log takes, about.
    virtual std::uint64_t log_bytes() const = 0;

    /// Bytes that the groups take which hold an event with an LSN of `from` or above, about.
    virtual std::uint64_t log_bytes_from(Lsn from) const = 0;

    /// Removes the groups that hold only events below `lsn`, but never the last group, and gives their space
    /// back.
    virtual void erase_log_below(Lsn lsn) = 0;

    /// Removes all events and records and writes these records instead, all or nothing, synced. The log goes
    /// on at LSN 1. Nothing may append or write beside it.
    virtual void clear(std::span<const RecordChange> records) = 0;

    /// Takes down what is on disk now, so that a start can tell when a part of it is gone. To be called now
    /// and then; at a clean end a storage does it by itself.
    virtual void mark_durable() {}

    /// Writes records, all or nothing.
    virtual void write(std::span<const RecordChange> records, bool sync) = 0;

    virtual std::optional<std::string> read(Table table, std::string_view key) const = 0;

    /// Calls `visit(key, value)` for each record whose key begins with `prefix`, by key ascending, until it
    /// returns false. Of what is changed meanwhile some may be seen.
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

    /// For records that are many and large: they go past the log, so that appends do not wait for them. May
    /// be used by one thread beside all others.
    virtual std::unique_ptr<BulkWriter> bulk_writer(Table table) = 0;

    /// Gives back the space of records that were removed; takes as long as rewriting what lies beside them.
    virtual void reclaim(Table table) = 0;

    /// The same of the records with a key from `begin` on and below `end`, which were all removed: nothing
    /// that is kept for removed records remains in the way of later reads.
    virtual void reclaim_range(Table table, std::string_view begin, std::string_view end) = 0;

    /// Does what `reclaim` does for tables in which removed ranges have piled up, so that reads and starts
    /// do not get slower with their number. To be called in the background, some time after the start.
    virtual void tidy() {}

    /// The process is stopping: from here on `reclaim`, `reclaim_range` and `tidy` give up, those under way
    /// too, and leave the rest to the next run. From any thread.
    virtual void end_maintenance() {}

    /// True once a failure, of whatever kind of write, has made it refuse everything that writes. From any
    /// thread.
    virtual bool refuses_writes() const noexcept { return false; }

    /// Makes a storage usable again that has refused to write since a failure: nothing if it is usable.
    /// Throws StorageError where it still is not, or where `append` is what has failed: what that left
    /// behind only a restart can tell. Nothing may write beside it.
    virtual void recover() {}
};

}  // namespace karma
