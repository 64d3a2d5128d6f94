#pragma once

#include <memory>

#include <rocksdb/table.h>

namespace karma {

/// How tables of snapshots are written: a search of a small row never reads a large one that lies beside it.
///
/// A manifest is as large as there are series, and lies behind the page lists, of which there is one for each
/// series. RocksDB as it is by default puts it into a block with the last of them, and a search reads a block
/// of each file, whether the row that it looks for is there or not: each list would cost a manifest.
std::shared_ptr<rocksdb::TableFactory> make_snapshot_table_factory();

}  // namespace karma
