#pragma once

#include <cstdint>

#include "engine/storage.h"
#include "persist/data_directory.h"
#include "persist/database/background.h"
#include "persist/database/failures.h"
#include "persist/database/live_state.h"
#include "persist/database/log_history.h"
#include "persist/database/retention.h"
#include "persist/database/served_files.h"
#include "persist/database/snapshot_taker.h"
#include "persist/snapshot_store.h"

namespace karma {

/// What a database does in the background. Used by one thread, but for `store_age`.
class Maintenance {
public:
    /// What it works on; everything outlives it.
    struct Uses {
        const DatabaseOptions& options;
        const DataDirectory* directory;  // null where there is none
        Storage& storage;
        SnapshotStore& snapshots;
        LiveState& live;
        Failures& failures;
        Background& background;
        LogHistory& history;
        SnapshotTaker& taker;
        Retention& retention;
        ServedFiles& files;
    };

    explicit Maintenance(const Uses& uses);

    /// Once, after the start: reads the idempotency records while requests are served that need none, and
    /// looks up what is known of a database that an earlier version has written.
    void begin();
    /// About every second.
    void run();

    /// Stores up to when ages are measured, so that a restart goes on from it. From any thread. Throws
    /// StorageError.
    void store_age();

private:
    static constexpr std::int64_t retention_interval_ms = 10'000;

    void load_records();
    void find_order();
    void check_directory();
    void check_storage();
    void follow_clock();

    Uses uses_;
    // By the monotonic clock:
    std::int64_t last_retention_ms_;
    std::int64_t last_age_ms_;
};

}  // namespace karma
