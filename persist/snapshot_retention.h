#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "persist/snapshot_manifest.h"

namespace karma {

/// Which snapshots are kept.
struct SnapshotRetention {
    unsigned per_series = 5;  // the latest of each series: those that clients see

    /// For queries as of a point: the newest snapshot of everything below this LSN, from which on events
    /// are kept, and of later ones those that lie this far apart.
    Lsn history_lsn = 0;
    std::int64_t history_spacing_ms = 0;  // 0: only the one

    bool operator==(const SnapshotRetention&) const = default;
};

/// The ids of the snapshots that need not be kept; `manifests` are all there are, newest first.
std::vector<std::uint64_t> droppable_snapshots(
    std::span<const std::shared_ptr<const SnapshotManifest>> manifests, const SnapshotRetention& retention);

}  // namespace karma
