#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/history_point.h"
#include "engine/storage.h"

namespace karma {

/// Snapshots in storage: the pages of series as they were at an LSN, and a manifest that makes them whole.
/// The format is docs/snapshot-format.md. Thread-safe.
class SnapshotStore {
public:
    struct SeriesEntry {
        std::string name;
        Lsn lsn = 0;  // the last event that the pages hold
        SeriesTotals totals;
        std::uint64_t pages = 0;
        std::uint64_t bytes = 0;
    };

    /// An open stream, and the series that it was making.
    struct StreamEntry {
        StreamInfo info;
        std::optional<SeriesEntry> staged;  // its pages are behind those of the series
    };

    struct Manifest {
        std::uint64_t id = 0;
        bool full = false;  // all series, or one
        Lsn lsn = 0;        // at which the view was taken
        std::int64_t created_ms = 0;
        std::int64_t file_unix = 0;  // the time in the names of its files: that of no other snapshot
        std::vector<SeriesEntry> series;
        // Of a full one:
        std::vector<reply::Checkpoint> checkpoints;
        std::vector<StreamEntry> streams;
        std::uint64_t idempotency_records = 0;  // that there were, as were the committed streams
        std::uint64_t committed_streams = 0;
    };

    /// Reads the manifests; `storage` outlives the store.
    explicit SnapshotStore(Storage& storage);

    /// Stores all series, or one. Everything up to the view's LSN must be durable in the log, or the log be
    /// off. Then drops what is older than the `retained` latest snapshots of each series.
    /// `changes` are written with the manifest, all or nothing.
    void save_all(const StateView& view, std::int64_t now_ms, unsigned retained,
                  std::vector<RecordChange> changes = {});
    /// `lsn`: the last event of the database when the view was taken.
    void save_series(const SeriesView& view, Lsn lsn, std::int64_t now_ms, unsigned retained);

    /// Puts the latest snapshots into an empty engine, and the streams that were committed by then; returns
    /// the LSN after which the log has to be applied. Takes no snapshot of a later state than `until`.
    Lsn restore(Engine& engine, const HistoryPoint& until) const;

    /// What keeps snapshots from being dropped, for someone who reads them; new ones wait for it.
    std::unique_lock<std::mutex> keep_all() { return std::unique_lock(saving_); }

    /// Newest first.
    std::vector<Manifest> manifests() const;
    /// The LSN of the newest snapshot, 0 without one.
    Lsn last_lsn() const;

private:
    void save(Manifest manifest, const std::vector<SeriesView>& views, unsigned retained,
              std::vector<RecordChange> changes);
    void prune(unsigned retained);
    Series load(const Manifest& manifest, const SeriesEntry& entry, std::size_t number) const;
    void restore_base(const Manifest& manifest, Engine& engine) const;

    Storage& storage_;
    std::mutex saving_;  // one snapshot at a time
    mutable std::mutex mutex_;
    std::map<std::uint64_t, Manifest, std::greater<>> manifests_;  // by id, newest first; under mutex_
};

}  // namespace karma
