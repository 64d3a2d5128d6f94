#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <set>

#include "engine/history_mark.h"
#include "engine/replicated.h"
#include "engine/storage.h"
#include "persist/database/live_state.h"
#include "persist/history_marks.h"
#include "persist/snapshot_store.h"

namespace karma {

/// The event log as the history of a database: what others read of it, what is known of events that are not
/// in it any more, and what of it may not be dropped. Thread-safe.
class LogHistory {
public:
    /// Everything outlives this.
    LogHistory(const DatabaseOptions& options, LiveState& live, Storage& storage, SnapshotStore& snapshots);

    /// Held by who drops what is old, or puts another state in place. Taken before the lock of the state.
    using DroppingLock = std::unique_lock<std::mutex>;
    DroppingLock lock_dropping() const { return DroppingLock(dropping_mutex_); }

    /// See Replicated.
    HistoryMark mark_at(Lsn lsn) const;
    Lsn first_kept_lsn() const;
    void read_log(Lsn from, const std::function<bool(const EventGroup&)>& visit) const;
    std::unique_ptr<LogPin> pin(Lsn lsn);
    /// The first event that somebody wants kept; the largest number where nobody does.
    Lsn first_pinned_lsn() const;

    /// The checksums that are known of events up to an LSN.
    HistoryMarks marks_up_to(Lsn lsn) const;
    /// Stores the checksums of events that are about to be removed: those below `end`. Throws StorageError.
    void mark_erased(Lsn end);
    /// Those that are stored, at the start, or of another state that was put in place.
    void set_marks(HistoryMarks marks);

    /// The record that holds the checksum of the event before the log.
    static RecordChange base_mark_change(const HistoryMark& mark);

private:
    /// LSNs above which the log is kept.
    struct Pins {
        std::mutex mutex;
        std::multiset<Lsn> lsns;
    };
    class Pin;

    HistoryMarks marks() const;

    const DatabaseOptions& options_;
    LiveState& live_;
    Storage& storage_;
    SnapshotStore& snapshots_;
    mutable std::mutex dropping_mutex_;
    mutable std::mutex marks_mutex_;
    HistoryMarks marks_;  // of the events that are not in the log any more
    mutable Pins pins_;
};

}  // namespace karma
