#include "persist/snapshot_manifest.h"

#include "engine/engine.h"

namespace karma {
namespace {

SnapshotSeries entry_of(const SeriesView& view, Lsn lsn) {
    SnapshotSeries entry;
    entry.name = view.name();
    entry.lsn = lsn;
    entry.totals = view.totals();
    entry.pages = view.pages().size();
    entry.bytes = view.bytes();
    return entry;
}

}  // namespace

TakeSeries taken_from(std::vector<std::unique_ptr<Series>>& loaded) {
    return [&loaded, next = std::size_t{0}]() mutable {
        return next < loaded.size() ? std::move(loaded[next++]) : nullptr;
    };
}

SnapshotManifest manifest_of(const StateView& view, std::int64_t now_ms, std::vector<SeriesView>& views) {
    SnapshotManifest manifest;
    manifest.full = true;
    manifest.lsn = view.lsn;
    manifest.created_ms = now_ms;
    views = view.series;
    for (const ComponentViews::Entry& component : view.components) {
        const ComponentViewRef rest = component.view->take_out_series(views);
        manifest.components.set(component.name, rest == nullptr ? component.view : rest);
    }
    for (std::size_t i = view.series.size(); i < views.size(); ++i) {
        manifest.staged.push_back(entry_of(views[i], view.lsn));
    }
    // It holds every event up to its LSN, also those that touched other series.
    for (const SeriesView& series : view.series) {
        manifest.series.push_back(entry_of(series, view.lsn));
    }
    return manifest;
}

SnapshotManifest manifest_of(const SeriesView& view, Lsn lsn, std::int64_t now_ms) {
    SnapshotManifest manifest;
    manifest.lsn = lsn;
    manifest.created_ms = now_ms;
    manifest.series.push_back(entry_of(view, lsn));
    return manifest;
}

}  // namespace karma
