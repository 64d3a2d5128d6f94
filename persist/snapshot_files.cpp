#include "persist/snapshot_files.h"

#include <algorithm>
#include <map>

#include "persist/file_name.h"

namespace karma {

std::string SnapshotFile::name() const {
    return std::to_string(manifest->file_unix) + "_" + file_name_of(series->name) + ".tree";
}

reply::SnapshotOf SnapshotFile::describe() const {
    const std::uint64_t bytes = manifest->has_page_lists ? series->tree_bytes : series->bytes;
    return {series->name, name(), manifest->file_unix, bytes, series->lsn};
}

std::vector<SnapshotFile> snapshot_files(Manifests manifests, unsigned per_series) {
    std::vector<SnapshotFile> files;
    // A series that is neither in the newest snapshot of everything nor in a later one was dropped.
    std::map<std::string_view, unsigned> seen;
    bool is_recent = true;
    for (const SnapshotStore::ManifestRef& manifest : manifests) {
        for (const SnapshotStore::SeriesEntry& entry : manifest->series) {
            const auto known = is_recent ? seen.try_emplace(entry.name).first : seen.find(entry.name);
            if (known != seen.end() && ++known->second <= per_series) {
                files.push_back({manifest, &entry});
            }
        }
        is_recent = is_recent && !manifest->full;
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
