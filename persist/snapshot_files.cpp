#include "persist/snapshot_files.h"

#include <algorithm>
#include <map>

namespace karma {

std::string SnapshotFile::name() const {
    return std::to_string(manifest->file_unix) + "_" + series->name + ".tree";
}

reply::SnapshotOf SnapshotFile::describe() const {
    const std::uint64_t bytes = manifest->has_page_lists ? series->tree_bytes : series->bytes;
    return {series->name, name(), manifest->file_unix, bytes, series->lsn};
}

std::vector<SnapshotFile> snapshot_files(Manifests manifests, unsigned per_series) {
    std::vector<SnapshotFile> files;
    std::map<std::string_view, unsigned> seen;
    for (const SnapshotStore::ManifestRef& manifest : manifests) {
        for (const SnapshotStore::SeriesEntry& entry : manifest->series) {
            if (++seen[entry.name] <= per_series) {
                files.push_back({manifest, &entry});
            }
        }
    }
    return files;
}

std::vector<reply::SnapshotOf> latest_snapshots(Manifests manifests) {
    std::vector<reply::SnapshotOf> latest;
    for (const SnapshotFile& file : snapshot_files(manifests, 1)) {
        latest.push_back(file.describe());
    }
    return latest;
}

std::optional<reply::IdempotencySnapshot> idempotency_snapshot(Manifests manifests) {
    const auto full = std::ranges::find_if(
        manifests, [](const SnapshotStore::ManifestRef& manifest) { return manifest->full; });
    if (full == manifests.end()) {
        return std::nullopt;
    }
    const SnapshotStore::Manifest& manifest = **full;
    return reply::IdempotencySnapshot{manifest.file_unix, manifest.lsn, manifest.idempotency_records,
                                      manifest.committed_streams, std::nullopt};
}

}  // namespace karma
