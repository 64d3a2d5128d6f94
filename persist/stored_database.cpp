#include "persist/stored_database.h"

#include <algorithm>

#include "engine/error.h"
#include "persist/hash_seed.h"
#include "persist/identity.h"
#include "persist/restore.h"
#include "persist/rocksdb_storage.h"
#include "persist/state_transfer.h"

namespace karma {

StoredDatabase::StoredDatabase(const std::filesystem::path& directory) {
    // Before a lock is made there: a directory that was mistyped should not come to be.
    if (!std::filesystem::is_directory(directory / "karma.db")) {
        throw StorageError(directory.string() + " holds no database (no karma.db in it)");
    }
    directory_ = std::make_unique<DataDirectory>(directory, DataDirectory::Use::reading);
    RocksdbStorage::Options options;
    options.path = directory_->database();
    options.read_only = true;
    bool ended_cleanly = true;
    try {
        auto opened = std::make_unique<RocksdbStorage>(options);
        ended_cleanly = opened->ended_cleanly();
        storage_ = std::move(opened);
    } catch (const CorruptionError& failure) {
        options.salvage = true;
        auto salvaged = std::make_unique<RocksdbStorage>(options);
        damage_ = salvaged->damage();
        if (damage_.empty()) {
            damage_.emplace_back(failure.what());
        }
        storage_ = std::move(salvaged);
    }
    if (storage_->read(Table::meta, installing_key)) {
        throw StorageError(
            directory.string() +
            " was being filled from a master and is not whole: a follower that is started on it "
            "begins anew");
    }
    const auto no_id = [] { return std::uint64_t{1}; };
    if (!ended_cleanly && NodeIdentity(*storage_, place_of(options.path), no_id).copied_from()) {
        doubt_ = "this is a copy: " + short_copy_text(storage_->next_lsn() - 1);
    }
    snapshots_ = std::make_unique<SnapshotStore>(*storage_);
    hash_seed_ = read_hash_seed(*storage_).value_or(0);
}

Lsn StoredDatabase::sound_until() const {
    const std::vector<SnapshotStore::ManifestRef> manifests = snapshots_->manifests();
    // What begins at an event needs nothing before it, or a snapshot of everything that reaches to it.
    const auto can_begin_at = [&](Lsn first) {
        return first == 1 || std::ranges::any_of(manifests, [&](const SnapshotStore::ManifestRef& manifest) {
                   return manifest->full && manifest->lsn + 1 >= first;
               });
    };
    Lsn expected = 0;
    try {
        storage_->read_log(0, [&](const EventGroup& group) {
            if (group.first_lsn != expected && !can_begin_at(group.first_lsn)) {
                return false;
            }
            read_group(group, [](const Event&) {});
            expected = group.first_lsn + group.count;
            return true;
        });
    } catch (const CorruptionError&) {  // NOLINT(bugprone-empty-catch): what is before it counts
    }
    return expected == 0 ? 0 : expected - 1;
}

}  // namespace karma
