#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <rocksdb/file_system.h>

#include "engine/number.h"

namespace karma {

/// The contents of the durable position file, karma.mark: what a database had on disk when the file was
/// written. It lets a start tell the loss that a crash may cause from missing files. The format is in
/// docs/storage-format.md.
struct DurablePosition {
    Lsn lsn = 0;           // the last event that was synced
    std::string manifest;  // RocksDB's manifest then, and its size
    std::uint64_t manifest_bytes = 0;
    /// After a clean end: RocksDB's write-ahead logs and their sizes. Nothing has been written since.
    bool is_closed = false;
    std::vector<std::pair<std::string, std::uint64_t>> logs = {};

    bool operator==(const DurablePosition&) const = default;
};

/// The files of a RocksDB database on disk, while it is closed.
class DatabaseFiles {
public:
    DatabaseFiles(rocksdb::FileSystem& disk, std::string path) : disk_(disk), path_(std::move(path)) {}

    /// Throws CorruptionError when files are missing or damaged in a way that RocksDB would ignore, and
    /// StorageError when they cannot be read. Returns the contents of the durable position file, or nothing
    /// if it is missing or damaged: then less can be checked.
    std::optional<DurablePosition> check() const;

    /// The same, but returns all damage, also such that RocksDB itself reports, and the contents of the
    /// durable position file, instead of throwing. Throws StorageError when the files cannot be read.
    std::vector<std::string> damage(std::optional<DurablePosition>& mark) const;

    /// Replaces the durable position file, durably. Throws StorageError.
    void write_position(const DurablePosition& mark) const;

    /// Syncs the files, then returns the position that they have now. Throws StorageError.
    DurablePosition mark_of_closed(Lsn lsn) const;

private:
    std::vector<std::string> names() const;
    bool exists(const std::string& name) const;
    std::string read(const std::string& name) const;
    std::uint64_t size_of(const std::string& name) const;
    void sync(const std::string& name) const;
    std::string manifest_name() const;
    std::optional<DurablePosition> read_position() const;
    void check_sizes(const DurablePosition& mark) const;

    rocksdb::FileSystem& disk_;
    std::string path_;
};

}  // namespace karma
