#pragma once

#include <string>
#include <vector>

#include "engine/reply.h"
#include "persist/snapshot_store.h"

/// Snapshots as clients know them: a file for each series that a snapshot holds, `<unix
/// seconds>_<series>.tree`.
namespace karma {

/// The names of all files, newest first.
std::vector<std::string> snapshot_files(const std::vector<SnapshotStore::Manifest>& manifests);

/// The latest file of each series, newest first.
std::vector<reply::SnapshotOf> latest_snapshots(const std::vector<SnapshotStore::Manifest>& manifests);

/// What went with the latest snapshot of everything; nothing before the first.
std::optional<reply::IdempotencySnapshot> idempotency_snapshot(
    const std::vector<SnapshotStore::Manifest>& manifests);

}  // namespace karma
