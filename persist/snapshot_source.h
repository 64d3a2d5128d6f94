#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>

#include "engine/reply.h"
#include "persist/snapshot_files.h"
#include "persist/tree_format.h"

namespace karma {

/// The `.tree` files of stored snapshots as bytes to read: made from pages as they are asked for, never held
/// as a whole. What it takes to find a place in a file is kept for the files that were read last.
/// Thread-safe.
class TreeFiles {
public:
    /// `snapshots` outlives this and its sources.
    explicit TreeFiles(const SnapshotStore& snapshots) : snapshots_(snapshots) {}

    /// Throws RequestError `not_found` where the file cannot be made, or when the deadline comes first,
    /// CorruptionError where it is damaged.
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
