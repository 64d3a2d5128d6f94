#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <rocksdb/db.h>

namespace karma {

/// The rows of one column family as they were when this object was made, in the order of their keys. Used by
/// one thread. The database must outlive it.
class StoredRows {
public:
    StoredRows(rocksdb::DB& database, rocksdb::ColumnFamilyHandle* family,
               const rocksdb::ReadOptions& options = {});

    void to_first() { rows_->SeekToFirst(); }
    void to_last() { rows_->SeekToLast(); }
    /// Moves to the first row whose key is not less than `key`.
    void to(std::string_view key) { rows_->Seek({key.data(), key.size()}); }
    /// Moves to the last row whose key is not greater than `key`.
    void to_last_until(std::string_view key) { rows_->SeekForPrev({key.data(), key.size()}); }
    void next() { rows_->Next(); }
    void previous() { rows_->Prev(); }

    /// False past either end, and after a failure: see status().
    bool valid() const { return rows_->Valid(); }
    rocksdb::Status status() const { return rows_->status(); }

    /// Key and value of the current row, if `valid`; they last until it moves.
    std::string_view key() { return shown(rows_->key(), key_); }
    std::string_view value() { return shown(rows_->value(), value_); }

private:
    static std::string_view shown(const rocksdb::Slice& bytes, std::string& copy);

    std::unique_ptr<rocksdb::Iterator> rows_;
    std::string key_;  // used with the thread sanitizer only
    std::string value_;
};

}  // namespace karma
