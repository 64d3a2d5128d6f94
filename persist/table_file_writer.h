#pragma once

#include <atomic>
#include <shared_mutex>
#include <string>
#include <string_view>

#include <rocksdb/db.h>
#include <rocksdb/sst_file_writer.h>

#include "engine/storage.h"

namespace karma {

/// The beginning of the names of table files that are not in the database yet.
inline constexpr const char* table_file_prefix = "bulk-";

/// Makes a table file that the database ingests as a whole, without its write-ahead log and memtables, whose
/// limits would delay commits. Throws StorageError.
class TableFileWriter final : public BulkWriter {
public:
    /// `use` keeps the database open. `ingest_failed` is set when the database may accept no further writes.
    TableFileWriter(std::shared_lock<std::shared_mutex> use, rocksdb::DB& db,
                    rocksdb::ColumnFamilyHandle& family, const std::string& directory,
                    std::atomic<bool>& ingest_failed);
    TableFileWriter(const TableFileWriter&) = delete;
    TableFileWriter& operator=(const TableFileWriter&) = delete;
    ~TableFileWriter() override;

    void add(std::string_view key, std::string_view value) override;
    void commit() override;

private:
    void check(const rocksdb::Status& status, const char* what) const;

    std::shared_lock<std::shared_mutex> use_;  // the last to go
    std::atomic<bool>& ingest_failed_;
    rocksdb::DB& db_;
    rocksdb::ColumnFamilyHandle& family_;
    std::string path_;
    rocksdb::SstFileWriter file_;
    bool any_ = false;
    bool committed_ = false;
};

}  // namespace karma
