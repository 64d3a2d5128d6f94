#include "persist/snapshot_files.h"

#include <set>

namespace karma {
namespace {

std::string file_name(const SnapshotStore::Manifest& manifest, const SnapshotStore::SeriesEntry& entry) {
    return std::to_string(manifest.file_unix) + "_" + entry.name + ".tree";
}

}  // namespace

std::vector<std::string> snapshot_files(const std::vector<SnapshotStore::Manifest>& manifests) {
    std::vector<std::string> files;
    for (const SnapshotStore::Manifest& manifest : manifests) {
        for (const SnapshotStore::SeriesEntry& entry : manifest.series) {
            files.push_back(file_name(manifest, entry));
        }
    }
    return files;
}

std::vector<reply::SnapshotOf> latest_snapshots(const std::vector<SnapshotStore::Manifest>& manifests) {
    std::vector<reply::SnapshotOf> latest;
    std::set<std::string_view> seen;
    for (const SnapshotStore::Manifest& manifest : manifests) {
        for (const SnapshotStore::SeriesEntry& entry : manifest.series) {
            if (seen.insert(entry.name).second) {
                latest.push_back(
                    {entry.name, file_name(manifest, entry), manifest.file_unix, entry.bytes, entry.lsn});
            }
        }
    }
    return latest;
}

std::optional<reply::IdempotencySnapshot> idempotency_snapshot(
    const std::vector<SnapshotStore::Manifest>& manifests) {
    for (const SnapshotStore::Manifest& manifest : manifests) {
        if (manifest.full) {
            return reply::IdempotencySnapshot{manifest.file_unix, manifest.lsn, manifest.idempotency_records,
                                              manifest.committed_streams};
        }
    }
    return std::nullopt;
}

}  // namespace karma
