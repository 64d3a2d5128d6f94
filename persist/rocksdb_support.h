#pragma once

#include <string>
#include <string_view>

#include <rocksdb/options.h>

#include "persist/rocksdb_storage.h"

namespace karma {

/// The options of the database, and those of the column family that holds events.
rocksdb::Options database_options(const RocksdbStorage::Options& options);
rocksdb::ColumnFamilyOptions log_options(const RocksdbStorage::Options& options);

/// Bounds how many tables of level 0 there are: a compaction holds all of them open, however few may be.
/// Where that is, writes wait earlier for it.
void bound_tables(rocksdb::ColumnFamilyOptions& options, int open_files_max);

inline rocksdb::Slice slice(std::string_view text) noexcept { return {text.data(), text.size()}; }

/// Throws CorruptionError or StorageError, as the status is.
[[noreturn]] void fail(const std::string& what, const rocksdb::Status& status);

}  // namespace karma
