#pragma once

#include <memory>

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

namespace karma {

/// The files of `disk`, with write-ahead logs as RocksDB can read them past their damage. Changes no file.
std::unique_ptr<rocksdb::Env> make_salvage_env(const std::shared_ptr<rocksdb::FileSystem>& disk);

}  // namespace karma
