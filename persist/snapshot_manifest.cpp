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

SnapshotManifest manifest_of(const StateView& view, std::int64_t now_ms, std::vector<SeriesView>& views) {
    SnapshotManifest manifest;
    manifest.full = true;
    manifest.lsn = view.lsn;
    manifest.created_ms = now_ms;
    manifest.checkpoints = view.checkpoints;
    manifest.epochs = view.epochs;
    manifest.idempotency_records = view.idempotency_record_count;
    manifest.committed_streams = view.committed_stream_count;
    manifest.first_record_lsn = view.first_record_lsn;
    views = view.series;
    for (const StreamView& stream : view.streams) {
        manifest.streams.push_back({stream.info, {}});
        if (stream.staged) {
            manifest.streams.back().staged = entry_of(*stream.staged, view.lsn);
            views.push_back(*stream.staged);
        }
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
