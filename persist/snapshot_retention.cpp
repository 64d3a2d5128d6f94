#include "persist/snapshot_retention.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

namespace karma {
namespace {

using Manifests = std::span<const std::shared_ptr<const SnapshotManifest>>;

/// What a restart begins with, and the latest of each series. A series that is neither in the newest
/// snapshot of everything nor in a later one has been dropped: nothing of it is kept.
void keep_recent(Manifests manifests, unsigned per_series, std::set<std::uint64_t>& kept) {
    std::map<std::string, unsigned, std::less<>> seen;
    bool has_full = false;
    for (const auto& manifest : manifests) {
        const bool is_recent = !has_full;
        if (manifest->full && !has_full) {
            kept.insert(manifest->id);
            has_full = true;
        }
        for (const SnapshotSeries& entry : manifest->series) {
            const auto known = is_recent ? seen.try_emplace(entry.name).first : seen.find(entry.name);
            if (known != seen.end() && ++known->second <= std::max(per_series, 1U)) {
                kept.insert(manifest->id);
            }
        }
    }
}

void keep_history(Manifests manifests, const SnapshotRetention& retention, std::set<std::uint64_t>& kept) {
    const auto base = std::ranges::find_if(manifests, [&](const auto& manifest) {
        return manifest->full && manifest->lsn < retention.history_lsn;
    });
    // Without one the history begins at the beginning of the log.
    std::int64_t last_ms = 0;
    if (base != manifests.end()) {
        kept.insert((*base)->id);
        last_ms = (*base)->created_ms;
    }
    if (retention.history_spacing_ms == 0) {
        return;
    }
    for (auto at = base; at != manifests.begin();) {
        --at;
        if ((*at)->full && (*at)->created_ms - last_ms >= retention.history_spacing_ms) {
            kept.insert((*at)->id);
            last_ms = (*at)->created_ms;
        }
    }
}

}  // namespace

std::vector<std::uint64_t> droppable_snapshots(Manifests manifests, const SnapshotRetention& retention) {
    std::set<std::uint64_t> kept;
    keep_recent(manifests, retention.per_series, kept);
    keep_history(manifests, retention, kept);
    std::vector<std::uint64_t> droppable;
    for (const auto& manifest : manifests) {
        if (!kept.contains(manifest->id)) {
            droppable.push_back(manifest->id);
        }
    }
    return droppable;
}

}  // namespace karma
