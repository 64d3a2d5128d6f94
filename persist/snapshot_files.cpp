#include "persist/snapshot_files.h"

#include <algorithm>

#include "persist/file_name.h"
#include "persist/series_lives.h"

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
    SeriesLives lives;
    for (const SnapshotStore::ManifestRef& manifest : manifests) {
        lives.show(*manifest, [&](const SnapshotSeries& entry, unsigned number) {
            if (number <= per_series) {
                files.push_back({manifest, &entry});
            }
        });
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

reply::IdempotencySnapshot idempotency_snapshot(const SnapshotStore::Manifest& full) {
    return {full.file_unix, full.lsn, full.idempotency_records, full.committed_streams, std::nullopt};
}

std::optional<reply::IdempotencySnapshot> idempotency_snapshot(Manifests manifests) {
    const auto full = std::ranges::find_if(
        manifests, [](const SnapshotStore::ManifestRef& manifest) { return manifest->full; });
    return full == manifests.end() ? std::nullopt : std::optional(idempotency_snapshot(**full));
}

}  // namespace karma
