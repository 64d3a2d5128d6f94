#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "persist/data_directory.h"
#include "persist/exports.h"
#include "persist/records_files.h"
#include "persist/snapshot_files.h"
#include "persist/snapshot_source.h"
#include "persist/snapshot_store.h"

namespace karma {

/// The files that clients list, fetch and load. Thread-safe.
class ServedFiles {
public:
    /// `directory` may be null. Everything outlives this.
    ServedFiles(SnapshotStore& snapshots, const RecordTables& tables, const DataDirectory* directory,
                unsigned snapshots_retained);

    /// The file of a series in a snapshot, by its name.
    std::optional<SnapshotFile> find_snapshot(const std::string& file) { return catalog.get()->find(file); }
    /// A file that somebody has put into the data directory; empty where there is none.
    std::filesystem::path file_in_directory(const std::string& file) const;
    /// Where files without a name are made.
    std::filesystem::path directory_for_files() const;

    /// Numbers the loads since the start.
    std::uint64_t next_load() noexcept { return ++loads_; }

    /// Gives up what nobody has used for a while.
    void drop_idle();
    /// Another state has taken the place of the one that they were of.
    void forget_all(const RecordsFiles::Excluding& no_file);

    // Each thread-safe by itself:
    CurrentCatalog catalog;
    TreeFiles trees;
    RecordsFiles records;
    Exports exports;

private:
    const DataDirectory* directory_;
    std::atomic<std::uint64_t> loads_{0};
};

}  // namespace karma
