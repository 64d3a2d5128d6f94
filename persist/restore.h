#pragma once

#include <cstdint>

#include "engine/engine.h"
#include "engine/history_point.h"
#include "engine/scan.h"
#include "engine/storage.h"
#include "persist/snapshot_store.h"

namespace karma {

/// What rebuilding a state from storage found.
struct Restored {
    Lsn snapshot_lsn = 0;      // after which the log was applied
    std::uint64_t events = 0;  // of the log, applied
};

/// Puts what is stored into an empty engine: the newest snapshots, then the log after them, as far as
/// `until`. Idempotency records are not part of it. Throws CorruptionError that says what is damaged.
Restored restore_state(Engine& engine, const Storage& storage, const SnapshotStore& snapshots,
                       const Deadline& deadline, const HistoryPoint& until = {});

}  // namespace karma
