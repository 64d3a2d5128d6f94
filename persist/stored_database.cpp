#include "persist/stored_database.h"

#include "persist/hash_seed.h"
#include "persist/rocksdb_storage.h"
#include "persist/state_transfer.h"

namespace karma {

StoredDatabase::StoredDatabase(const std::filesystem::path& directory) {
    // Before a lock is made there: a directory that was mistyped should not come to be.
    if (!std::filesystem::is_directory(directory / "karma.db")) {
        throw StorageError(directory.string() + " holds no database (no karma.db in it)");
    }
    directory_ = std::make_unique<DataDirectory>(directory);
    RocksdbStorage::Options options;
    options.path = directory_->database();
    options.read_only = true;
    storage_ = std::make_unique<RocksdbStorage>(options);
    if (storage_->read(Table::meta, installing_key)) {
        throw StorageError(directory.string() +
                           " was being filled from a master and is not whole: a slave that is started on it "
                           "begins anew");
    }
    snapshots_ = std::make_unique<SnapshotStore>(*storage_);
    hash_seed_ = read_hash_seed(*storage_).value_or(0);
}

}  // namespace karma
