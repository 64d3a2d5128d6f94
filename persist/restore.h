#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/event_codec.h"
#include "engine/history_point.h"
#include "engine/scan.h"
#include "engine/storage.h"
#include "persist/snapshot_store.h"

namespace karma {

/// What rebuilding a state from storage found.
struct Restored {
    Lsn snapshot_lsn = 0;              // after which the log was applied
    std::uint64_t events = 0;          // of the log, applied
    std::int64_t last_event_ms = 0;    // the time of the last of them
    std::vector<std::string> damaged;  // snapshots that could not be used, and why
};

/// read_event_group with the group's place in what it throws.
EventGroupInfo read_group(const EventGroup& group, const std::function<void(const Event&)>& visit);

/// Puts what is stored into an empty engine: the newest sound snapshots whose LSN is not above `newest`, then
/// the log after them, as far as `point`. Idempotency records are not part of it. Never gives less than was
/// stored: throws CorruptionError that says what is damaged or missing.
Restored restore_state(Engine& engine, const Storage& storage, const SnapshotStore& snapshots,
                       const Deadline& deadline, const HistoryPoint& point = {},
                       Lsn newest = std::numeric_limits<Lsn>::max());

/// The same for one series only, for queries as of a point. Throws RequestError `replication_gap` when what
/// is kept does not reach back so far.
Restored restore_series(Engine& engine, std::string_view series, const Storage& storage,
                        const SnapshotStore& snapshots, const Deadline& deadline, const HistoryPoint& point);

}  // namespace karma
