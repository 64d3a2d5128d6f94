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

/// The data directory of a daemon that does not run, to be read: no file of it is changed, and it may lie on
/// what is mounted read-only.
class StoredDatabase {
public:
    /// Where RocksDB's files are damaged it takes what is sound of them: `damage` says what is not. Throws
    /// StorageError, or CorruptionError where nothing can be read, with a message for the operator.
    explicit StoredDatabase(const std::filesystem::path& directory);

    /// Damage of RocksDB's files. Where there is any, events may be missing: as holes in the log, or at its
    /// end, and what is stored beside them may be incomplete from the first hole on.
    const std::vector<std::string>& damage() const noexcept { return damage_; }

    /// What the start of a daemon would warn of: that this is a copy which may be short of events. Empty
    /// where nothing says so.
    const std::string& doubt() const noexcept { return doubt_; }

    /// The last event at which the state can be rebuilt, as far as snapshots are sound: where the events end
    /// that follow each other from the first one, or from a snapshot of everything, on. 0 where there are
    /// none.
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
