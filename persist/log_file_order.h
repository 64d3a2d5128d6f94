#pragma once

#include <memory>

#include <rocksdb/env.h>

namespace karma {

/// A file system like `base`, which must outlive it, that syncs a write-ahead file before the next one is
/// begun. Writes
/// that are not synced reach the disk in any order: of two files that are both not synced, a power loss can
/// take the end of the first and leave the second, and RocksDB, which cannot tell an end that was cut between
/// two writes, would restore events behind the gap.
///
/// So only the write-ahead file that is written has anything to sync, and only it can fail. RocksDB syncs the
/// ones before it from two threads, a write's and a flush's, and ends the process with an assertion where one
/// of them goes on with a file on which the other one has just failed.
std::unique_ptr<rocksdb::Env> make_log_ordering_env(rocksdb::Env& base);

}  // namespace karma
