#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/reply.h"
#include "engine/storage.h"
#include "persist/database/background.h"
#include "persist/database/failures.h"
#include "persist/database/live_state.h"
#include "persist/snapshot_store.h"

namespace karma {

/// Makes snapshots of the live state. Thread-safe, but for `save_when_due`.
class SnapshotTaker {
public:
    /// Everything outlives this. The interval between snapshots begins now.
    SnapshotTaker(const DatabaseOptions& options, LiveState& live, Storage& storage, SnapshotStore& snapshots,
                  Failures& failures, Background& background);

    /// Stores a snapshot of all series, or of one, as they are now. Gives the reply to who asked for it.
    /// Throws RequestError when the deadline comes first with nothing stored, and StorageError.
    Reply store(const std::optional<std::string>& series, const Deadline& deadline);

    /// Stores one of all series, not as a request: a slave refuses those, and needs snapshots of its own all
    /// the same. Throws RequestError.
    void save(const Deadline& deadline);
    /// The same, unless the latest one holds all that there is. True when it was stored.
    bool save_if_changed(const Deadline& deadline);
    /// The same where the interval of the options is over, or the last one failed some time ago. By the
    /// thread of the background maintenance.
    void save_when_due();

    /// Whether a restart can begin with the newest snapshot of everything, so that the log before it is not
    /// needed. Where it cannot, a new one is stored, from what memory holds.
    bool has_verified_base();

private:
    Reply try_to_store(const std::optional<std::string>& series, const Deadline& deadline);
    void save_all_there_is(const SnapshotStore::Saving& saving, StateView view, UnsavedRecords::Batch unsaved,
                           const Deadline& deadline);

    const DatabaseOptions& options_;
    LiveState& live_;
    Storage& storage_;
    SnapshotStore& snapshots_;
    Failures& failures_;
    Background& background_;
    std::int64_t last_snapshot_ms_;  // monotonic
};

}  // namespace karma
