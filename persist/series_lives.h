#pragma once

#include <map>
#include <string_view>
#include <vector>

#include "persist/snapshot_manifest.h"

namespace karma {

/// Decides which series in snapshots are the present ones. When a snapshot of everything lacks a series,
/// older ones under that name belong to a dropped series, even if a new series has the name now. The caller
/// shows it the snapshots, which outlive it, from the newest to the oldest.
class SeriesLives {
public:
    /// Calls `visit(series, number)` for each present series of a snapshot; `number` counts its snapshots
    /// from 1. Returns the names whose older snapshots belong to dropped series.
    template <typename Visit>
    std::vector<std::string_view> show(const SnapshotManifest& manifest, Visit&& visit) {
        std::map<std::string_view, unsigned> held;
        for (const SnapshotSeries& entry : manifest.series) {
            auto known = seen_.extract(entry.name);
            if (known.empty() && has_full_) {
                continue;
            }
            const unsigned number = known.empty() ? 1 : known.mapped() + 1;
            held.emplace(entry.name, number);
            visit(entry, number);
        }
        std::vector<std::string_view> ended;
        if (manifest.full) {
            has_full_ = true;
            for (const auto& entry : seen_) {
                ended.push_back(entry.first);
            }
            seen_.swap(held);
        } else {
            seen_.merge(held);
        }
        return ended;
    }

private:
    std::map<std::string_view, unsigned> seen_;  // series of the present, and how many snapshots of each
    bool has_full_ = false;
};

}  // namespace karma
