#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/storage.h"
#include "persist/data_directory.h"
#include "persist/snapshot_store.h"

namespace karma {

/// The data directory of a stopped daemon, opened for reading: no file of it is changed, and it may be on a
/// read-only file system.
class StoredDatabase {
public:
    /// Reads the sound parts of damaged RocksDB files; `damage` lists the others. Throws StorageError, or
    /// CorruptionError if nothing can be read, with a message for the operator.
    explicit StoredDatabase(const std::filesystem::path& directory);

    /// Damage of RocksDB's files. With damage, events may be missing, as gaps in the log or at its end, and
    /// other records may be incomplete from the first gap on.
    const std::vector<std::string>& damage() const noexcept { return damage_; }

    /// The warning of a daemon's start that this is a copy which may lack events; empty if it would not warn.
    const std::string& doubt() const noexcept { return doubt_; }

    /// The last event up to which the state can be rebuilt, if snapshots are sound: the end of the events
    /// without a gap after the first one, or after a snapshot of everything. 0 if there are none.
    Lsn sound_until() const;

    const Storage& storage() const noexcept { return *storage_; }
    const SnapshotStore& snapshots() const noexcept { return *snapshots_; }
    std::uint64_t hash_seed() const noexcept { return hash_seed_; }

private:
    std::unique_ptr<DataDirectory> directory_;
    std::vector<std::string> damage_;
    std::string doubt_;
    std::unique_ptr<Storage> storage_;
    std::unique_ptr<SnapshotStore> snapshots_;
    std::uint64_t hash_seed_ = 0;
};

}  // namespace karma
