#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <rocksdb/file_system.h>

#include "engine/number.h"

namespace karma {

/// What a database is known to have had on disk: kept beside it in a file of its own, so that a start can
/// tell what a crash may take from what is missing. The format is in docs/storage-format.md.
struct DurableMark {
    Lsn lsn = 0;           // the last event that was synced
    std::string manifest;  // RocksDB's manifest then, and its size
    std::uint64_t manifest_bytes = 0;
    /// After a clean end: RocksDB's write-ahead logs and their sizes. Nothing has been written since.
    bool is_closed = false;
    std::vector<std::pair<std::string, std::uint64_t>> logs = {};

    bool operator==(const DurableMark&) const = default;
};

/// The files of a RocksDB database as they lie on disk, while it is closed.
class DatabaseFiles {
public:
    DatabaseFiles(rocksdb::FileSystem& disk, std::string path) : disk_(disk), path_(std::move(path)) {}

    /// Throws CorruptionError where something is missing or damaged that RocksDB would pass over, and
    /// StorageError where the files cannot be read. Gives the mark of what has to be there: nothing where
    /// there is none, or one that is damaged; then less can be checked, that is all.
    std::optional<DurableMark> check() const;

    /// The same for who wants all damage, also such that RocksDB itself reports: gives what is damaged, and
    /// the mark, instead of throwing. Throws StorageError where the files cannot be read.
    std::vector<std::string> damage(std::optional<DurableMark>& mark) const;

    /// Puts a mark in place of the one before, durably. Throws StorageError.
    void write_mark(const DurableMark& mark) const;

    /// The mark of what lies here now; syncs it first. Throws StorageError.
    DurableMark mark_of_closed(Lsn lsn) const;

private:
    std::vector<std::string> names() const;
    bool exists(const std::string& name) const;
    std::string read(const std::string& name) const;
    std::uint64_t size_of(const std::string& name) const;
    void sync(const std::string& name) const;
    std::string manifest_name() const;
    std::optional<DurableMark> read_mark() const;
    void check_sizes(const DurableMark& mark) const;

    rocksdb::FileSystem& disk_;
    std::string path_;
};

}  // namespace karma
