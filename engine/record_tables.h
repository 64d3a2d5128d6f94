#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/storage_error.h"

namespace karma {

/// Key-value tables. What they hold is derived from the events, or of this node alone.
enum class Table : std::uint8_t { meta, snapshots, idempotency, streams };

/// A record to be written, or to be removed if it has no value.
struct RecordChange {
    Table table = Table::meta;
    std::string key;
    std::optional<std::string> value;
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

/// Records by table and key. Any thread may call any function, beside others and beside what appends events.
/// All functions throw StorageError when they fail, and CorruptionError when stored bytes are damaged.
class RecordTables {
public:
    RecordTables() = default;
    RecordTables(const RecordTables&) = delete;
    RecordTables& operator=(const RecordTables&) = delete;
    virtual ~RecordTables() = default;

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
};

}  // namespace karma
