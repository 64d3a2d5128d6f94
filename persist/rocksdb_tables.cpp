#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include <rocksdb/convenience.h>
#include <rocksdb/write_batch.h>

#include "persist/keys.h"
#include "persist/rocksdb_storage.h"
#include "persist/rocksdb_support.h"
#include "persist/stored_rows.h"
#include "persist/table_file_writer.h"

/// RocksdbStorage as record tables.
namespace karma {
namespace {

/// Calls `visit` for each row from a key on, until it returns false.
void visit_rows(StoredRows& rows, std::string_view begin,
                const std::function<bool(std::string_view, std::string_view)>& visit,
                const std::string& path) {
    for (rows.to(begin); rows.valid(); rows.next()) {
        if (!visit(rows.key(), rows.value())) {
            return;
        }
    }
    if (!rows.status().ok()) {
        fail("cannot read from " + path, rows.status());
    }
}

}  // namespace

void RocksdbStorage::write(std::span<const RecordChange> records, bool sync) {
    const Using used = use();
    rocksdb::WriteBatch batch;
    for (const RecordChange& change : records) {
        if (change.value) {
            batch.Put(family(change.table), change.key, *change.value);
        } else {
            batch.Delete(family(change.table), change.key);
        }
    }
    commit(batch, sync, "cannot write to");
}

std::optional<std::string> RocksdbStorage::read(Table table, std::string_view key) const {
    const Using used = use();
    std::string value;
    const rocksdb::Status status = db_->Get(rocksdb::ReadOptions(), family(table), slice(key), &value);
    if (status.IsNotFound()) {
        return std::nullopt;
    }
    if (!status.ok()) {
        fail("cannot read from " + path_, status);
    }
    return value;
}

void RocksdbStorage::scan(Table table, std::string_view prefix,
                          const std::function<bool(std::string_view, std::string_view)>& visit) const {
    const Using used = use();
    const std::string end = prefix_end(prefix);
    const rocksdb::Slice bound(end);
    rocksdb::ReadOptions options;
    if (!end.empty()) {
        options.iterate_upper_bound = &bound;  // nothing behind is read
    }
    StoredRows at(*db_, family(table), options);
    visit_rows(at, prefix, visit, path_);
}

void RocksdbStorage::scan_from(Table table, std::string_view begin,
                               const std::function<bool(std::string_view, std::string_view)>& visit) const {
    const Using used = use();
    StoredRows at(*db_, family(table));
    visit_rows(at, begin, visit, path_);
}

void RocksdbStorage::erase_prefix(Table table, std::string_view prefix) {
    const Using used = use();
    rocksdb::WriteBatch batch;
    if (const std::string end = prefix_end(prefix); !end.empty()) {
        batch.DeleteRange(family(table), slice(prefix), end);
    } else {
        scan(table, prefix, [&](std::string_view key, std::string_view) {
            batch.Delete(family(table), slice(key));
            return true;
        });
    }
    commit(batch, false, "cannot write to");
}

void RocksdbStorage::erase_range(Table table, std::string_view begin, std::string_view end) {
    if (begin >= end) {
        return;
    }
    const Using used = use();
    rocksdb::WriteBatch batch;
    batch.DeleteRange(family(table), slice(begin), slice(end));
    commit(batch, false, "cannot write to");
}

std::optional<std::string> RocksdbStorage::last_key(Table table, std::string_view prefix) const {
    const Using used = use();
    StoredRows at(*db_, family(table));
    const std::string end = prefix_end(prefix);
    if (end.empty()) {
        at.to_last();
    } else {
        at.to_last_until(end);
        if (at.valid() && at.key() == end) {
            at.previous();
        }
    }
    if (!at.status().ok()) {
        fail("cannot read from " + path_, at.status());
    }
    if (!at.valid() || !at.key().starts_with(prefix)) {
        return std::nullopt;
    }
    return std::string(at.key());
}

std::unique_ptr<BulkWriter> RocksdbStorage::bulk_writer(Table table) {
    Using used = use();
    return std::make_unique<TableFileWriter>(std::move(used), *db_, *family(table), path_, ingest_failed_);
}

void RocksdbStorage::compact(rocksdb::ColumnFamilyHandle* in, const rocksdb::Slice* begin,
                             const rocksdb::Slice* end) {
    rocksdb::CompactRangeOptions options;
    options.exclusive_manual_compaction = false;  // what goes on by itself goes on
    options.allow_write_stall = false;
    // A file that is only moved down a level keeps what it says of removed records.
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
    const rocksdb::Status status = db_->CompactRange(options, in, begin, end);
    if (!status.ok() && !status.IsIncomplete()) {
        throw StorageError("cannot compact " + path_ + ": " + status.ToString());
    }
}

/// Of a range that was removed: whole files at once, then what is left of it.
void RocksdbStorage::give_back(rocksdb::ColumnFamilyHandle* in, const rocksdb::Slice& begin,
                               const rocksdb::Slice& end) {
    const rocksdb::Status status = rocksdb::DeleteFilesInRange(db_.get(), in, &begin, &end, false);
    if (!status.ok()) {
        throw StorageError("cannot delete files of " + path_ + ": " + status.ToString());
    }
    compact(in, &begin, &end);
}

void RocksdbStorage::reclaim(Table table) {
    const Using used = use();
    compact(family(table), nullptr, nullptr);
}

void RocksdbStorage::reclaim_range(Table table, std::string_view begin, std::string_view end) {
    const Using used = use();
    give_back(family(table), slice(begin), slice(end));
}

}  // namespace karma
