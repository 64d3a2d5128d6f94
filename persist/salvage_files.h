#pragma once

#include <memory>

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

namespace karma {

/// A view of the files of `disk` in which RocksDB can read write-ahead logs past their damage. Changes no
/// file.
std::unique_ptr<rocksdb::Env> make_salvage_env(const std::shared_ptr<rocksdb::FileSystem>& disk);

}  // namespace karma
