#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/reply.h"
#include "persist/snapshot_store.h"

/// Snapshots as clients know them: a file for each series that a snapshot holds, `<unix
/// seconds>_<series>.tree`.
namespace karma {

using Manifests = std::span<const SnapshotStore::ManifestRef>;  // newest first

/// A file: a series in a snapshot.
struct SnapshotFile {
    SnapshotStore::ManifestRef manifest;
    const SnapshotStore::SeriesEntry* series = nullptr;  // in the manifest

    std::string name() const;
    reply::SnapshotOf describe() const;
};

/// The files that clients see, newest first: of each series the `per_series` latest. What is kept longer for
/// questions about the past has no file.
std::vector<SnapshotFile> snapshot_files(Manifests manifests, unsigned per_series);

/// The latest file of each series, newest first.
std::vector<reply::SnapshotOf> latest_snapshots(Manifests manifests);

/// What went with a snapshot of everything.
reply::IdempotencySnapshot idempotency_snapshot(const SnapshotStore::Manifest& full);
/// The same of the latest one; nothing before the first.
std::optional<reply::IdempotencySnapshot> idempotency_snapshot(Manifests manifests);

}  // namespace karma
