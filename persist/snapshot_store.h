#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "engine/engine.h"
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

    struct Manifest {
        std::uint64_t id = 0;
        bool full = false;  // all series, or one
        Lsn lsn = 0;        // at which the view was taken
        std::int64_t created_ms = 0;
        std::vector<SeriesEntry> series;
        std::vector<reply::Checkpoint> checkpoints;  // of a full one
    };

    /// Reads the manifests; `storage` outlives the store.
    explicit SnapshotStore(Storage& storage);

    /// Stores all series, or one. Everything up to the view's LSN must be durable in the log, or the log be
    /// off. Then drops what is older than the `retained` latest snapshots of each series.
    void save_all(const StateView& view, std::int64_t now_ms, unsigned retained);
    void save_series(const SeriesView& view, std::int64_t now_ms, unsigned retained);

    /// Puts the latest snapshots into an empty engine; returns the LSN after which the log has to be applied.
    Lsn restore(Engine& engine) const;

    /// Newest first.
    std::vector<Manifest> manifests() const;
    /// The LSN of the newest snapshot, 0 without one.
    Lsn last_lsn() const;

private:
    void save(Manifest manifest, const std::vector<SeriesView>& views, unsigned retained);
    void prune(unsigned retained);
    Series load(const Manifest& manifest, std::size_t number) const;

    Storage& storage_;
    std::mutex saving_;  // one snapshot at a time
    mutable std::mutex mutex_;
    std::map<std::uint64_t, Manifest, std::greater<>> manifests_;  // by id, newest first; under mutex_
};

}  // namespace karma
