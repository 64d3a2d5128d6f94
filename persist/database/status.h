#pragma once

#include <cstdint>
#include <string>

#include "engine/reply.h"
#include "engine/request.h"
#include "engine/storage.h"
#include "persist/database/failures.h"
#include "persist/database/live_state.h"
#include "persist/database/mastership.h"
#include "persist/database/node_role.h"
#include "persist/database/served_files.h"
#include "persist/snapshot_store.h"

namespace karma {

/// What a database says about itself. Each function is called with the lock of the state and copies what it
/// needs; the task that it gives formats it without the lock, and lists snapshots.
class Status {
public:
    /// What it shows; everything outlives it.
    struct Shows {
        const DatabaseOptions& options;
        const Storage& storage;
        const SnapshotStore& snapshots;
        LiveState& live;
        const NodeRole& node;
        const Failures& failures;
        const Mastership& mastership;
        ServedFiles& files;
    };

    /// The time since the start begins now.
    explicit Status(const Shows& shows) : of_(shows), opened_ms_(shows.live.clock().steady_ms()) {}

    reply::Health health() const;
    Outcome replication_status(const query::Page& page) const;
    Outcome snapshot_names(const query::Page& page) const;
    Outcome snapshot_info(const query::Page& page) const;
    Outcome stats() const;
    Outcome metrics() const;

private:
    double uptime_seconds() const;
    std::string alarm() const;
    template <typename ReplyOfMetrics>
    Outcome metrics_as() const;

    Shows of_;
    std::int64_t opened_ms_;  // monotonic
};

}  // namespace karma
