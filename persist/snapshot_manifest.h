#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/components.h"
#include "engine/identity.h"

namespace karma {

/// A series in a snapshot.
struct SnapshotSeries {
    std::string name;
    Lsn lsn = 0;  // the last event that the pages hold
    SeriesTotals totals;
    std::uint64_t pages = 0;
    std::uint64_t bytes = 0;       // of the pages in memory
    std::uint64_t tree_bytes = 0;  // of its .tree file; 0 where it is not known
    std::size_t number = 0;        // among the series and staged series of the snapshot
};

/// The manifest of a snapshot, which makes it complete.
struct SnapshotManifest {
    std::uint64_t id = 0;
    bool has_page_lists = true;  // false before version 3: pages have keys of the snapshot's own
    bool full = false;           // all series, or one
    Lsn lsn = 0;                 // at which the view was taken
    std::int64_t created_ms = 0;
    std::int64_t file_unix = 0;  // the time in the names of its files: that of no other snapshot
    std::vector<SnapshotSeries> series;
    std::uint64_t next_page_id = 1;  // above the ids of all its pages
    // Of a full one:
    ComponentViews components;  // without their series
    std::vector<SnapshotSeries>
        staged;              // the series of the components, in their order; numbered behind `series`
    DatabaseId database_id;  // may be not known

    /// What a component held.
    template <typename C>
    const typename C::View& of() const {
        return components.get<C>();
    }
};

/// The elements of `loaded` one after the other, for `Engine::restore_components`: outlived by it.
TakeSeries taken_from(std::vector<std::unique_ptr<Series>>& loaded);

struct StateView;
class SeriesView;

/// The manifest of a snapshot of this state, without what SnapshotStore fills in: ids, numbers, times of
/// files. Puts the series, and those of the components, into `views` in the order of their numbers.
SnapshotManifest manifest_of(const StateView& view, std::int64_t now_ms, std::vector<SeriesView>& views);

/// The same of one series, when the database was at `lsn`.
SnapshotManifest manifest_of(const SeriesView& view, Lsn lsn, std::int64_t now_ms);

}  // namespace karma
