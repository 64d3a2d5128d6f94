#include "persist/snapshot_retention.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "persist/series_lives.h"

namespace karma {
namespace {

using Manifests = std::span<const std::shared_ptr<const SnapshotManifest>>;

/// What a restart begins with, and the latest of each series. Nothing is kept of a series that was dropped.
void keep_recent(Manifests manifests, unsigned per_series, std::set<std::uint64_t>& kept) {
    SeriesLives lives;
    bool has_full = false;
    for (const auto& manifest : manifests) {
        if (manifest->full && !std::exchange(has_full, true)) {
            kept.insert(manifest->id);
        }
        lives.show(*manifest, [&](const SnapshotSeries& /*entry*/, unsigned number) {
            if (number <= std::max(per_series, 1U)) {
                kept.insert(manifest->id);
            }
        });
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

/// A snapshot that ends a dropped series stays as long as one before it that holds the series: without it
/// that one would be taken for a snapshot of the new series of that name.
void keep_ends(Manifests manifests, std::set<std::uint64_t>& kept) {
    SeriesLives lives;
    std::vector<std::vector<std::string_view>> ended;
    for (const auto& manifest : manifests) {
        ended.push_back(lives.show(*manifest, [](const SnapshotSeries&, unsigned) {}));
    }
    std::set<std::string_view> held;  // by the snapshots that are kept, the oldest first
    for (std::size_t at = manifests.size(); at-- > 0;) {
        const SnapshotManifest& manifest = *manifests[at];
        if (std::ranges::any_of(ended[at], [&](std::string_view name) { return held.contains(name); })) {
            kept.insert(manifest.id);
        }
        if (kept.contains(manifest.id)) {
            for (const SnapshotSeries& entry : manifest.series) {
                held.insert(entry.name);
            }
        }
    }
}

}  // namespace

std::vector<std::uint64_t> droppable_snapshots(Manifests manifests, const SnapshotRetention& retention) {
    std::set<std::uint64_t> kept;
    keep_recent(manifests, retention.per_series, kept);
    keep_history(manifests, retention, kept);
    keep_ends(manifests, kept);
    std::vector<std::uint64_t> droppable;
    for (const auto& manifest : manifests) {
        if (!kept.contains(manifest->id)) {
            droppable.push_back(manifest->id);
        }
    }
    return droppable;
}

}  // namespace karma
