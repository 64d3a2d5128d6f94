#pragma once

#include <cstdint>
#include <string>

#include "persist/keys.h"
#include "persist/snapshot_manifest.h"

/// What the parts of SnapshotStore share: where manifests lie, and what snapshots are called in messages.
namespace karma {

inline constexpr const char* manifest_prefix = "m";

inline std::string manifest_key(std::uint64_t id) { return manifest_prefix + big_endian(id); }

inline std::string describe(const SnapshotManifest& manifest) {
    return "snapshot " + std::to_string(manifest.id) + " at LSN " + std::to_string(manifest.lsn);
}

inline std::string describe(const SnapshotManifest& manifest, const SnapshotSeries& entry) {
    return describe(manifest) + ", series \"" + entry.name + "\"";
}

/// Calls `visit` for each series of a manifest, and of its components.
template <typename Visit>
void for_each_entry(const SnapshotManifest& manifest, Visit&& visit) {
    for (const SnapshotSeries& entry : manifest.series) {
        visit(entry);
    }
    for (const SnapshotSeries& entry : manifest.staged) {
        visit(entry);
    }
}

}  // namespace karma
