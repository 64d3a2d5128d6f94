#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "engine/storage.h"
#include "persist/data_directory.h"
#include "persist/snapshot_store.h"

namespace karma {

/// The data directory of a daemon that does not run, to be read: no file of it is changed but the lock.
class StoredDatabase {
public:
    /// Throws StorageError, or CorruptionError, with a message for the operator.
    explicit StoredDatabase(const std::filesystem::path& directory);

    const Storage& storage() const noexcept { return *storage_; }
    const SnapshotStore& snapshots() const noexcept { return *snapshots_; }
    std::uint64_t hash_seed() const noexcept { return hash_seed_; }

private:
    std::unique_ptr<DataDirectory> directory_;
    std::unique_ptr<Storage> storage_;
    std::unique_ptr<SnapshotStore> snapshots_;
    std::uint64_t hash_seed_ = 0;
};

}  // namespace karma
