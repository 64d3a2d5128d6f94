#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>

#include "engine/reply.h"
#include "persist/karma1/tree_format.h"
#include "persist/snapshot_files.h"

namespace karma {

/// The bytes of the `.tree` files of stored snapshots, made from pages as they are read, never held as a
/// whole. The index that finds a position in a file is kept for the files that were read last. Thread-safe.
class TreeFiles {
public:
    /// `snapshots` outlives this and its sources.
    explicit TreeFiles(const SnapshotStore& snapshots) : snapshots_(snapshots) {}

    /// Throws RequestError, `not_found` if the file cannot be made, or at the deadline, and CorruptionError
    /// if the snapshot is damaged.
    std::shared_ptr<const reply::ByteSource> open(const SnapshotFile& file, const Deadline& deadline);

    /// Storage was cleared.
    void forget_all();

private:
    class Source;

    static constexpr std::size_t kept_max = 8;

    const SnapshotStore& snapshots_;
    std::mutex mutex_;
    std::list<std::shared_ptr<const Source>> recent_;  // the last one that was used first; under mutex_
};

}  // namespace karma
