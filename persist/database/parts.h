#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/storage.h"
#include "persist/data_directory.h"
#include "persist/database/background.h"
#include "persist/database/failures.h"
#include "persist/database/following.h"
#include "persist/database/live_state.h"
#include "persist/database/log_history.h"
#include "persist/database/maintenance.h"
#include "persist/database/mastership.h"
#include "persist/database/node_role.h"
#include "persist/database/requests.h"
#include "persist/database/retention.h"
#include "persist/database/served_files.h"
#include "persist/database/snapshot_taker.h"
#include "persist/database/state_exchange.h"
#include "persist/database/status.h"
#include "persist/database_options.h"
#include "persist/node_notes.h"
#include "persist/snapshot_store.h"

namespace karma {

/// The parts of a database, each of which uses those before it.
///
/// Locks are taken in this order: LogHistory::lock_dropping, SnapshotStore::begin_saving, what excludes
/// readers of files and snapshots, Mastership::lock_fencing, LiveState::make_view, LiveState::lock. A
/// committer's and NodeRole's own come after them.
struct DatabaseParts {
    /// `owned` and `directory` may be null. Restores the state, and makes durable who this node is. Throws
    /// StorageError, CorruptionError, and RequestError where the options give up.
    DatabaseParts(const DatabaseOptions& opening, std::unique_ptr<DataDirectory> in,
                  std::unique_ptr<Storage> owned, Storage& on);
    DatabaseParts(const DatabaseParts&) = delete;
    DatabaseParts& operator=(const DatabaseParts&) = delete;
    /// Commits what was accepted.
    ~DatabaseParts();

    const DatabaseOptions options;
    const std::unique_ptr<DataDirectory> directory;
    const std::unique_ptr<Storage> owned_storage;
    Storage& storage;
    Failures failures;
    NodeRole node;
    Background background;
    LiveState live;
    SnapshotStore snapshots;
    ServedFiles files;
    NodeNotes notes;
    LogHistory history;
    SnapshotTaker taker;
    Mastership mastership;
    Retention retention;
    Following following;
    StateExchange exchange;
    Status status;
    Requests requests;
    Maintenance maintenance;

    std::string restore_summary;
    std::vector<std::string> restore_warnings;

private:
    void restore();
    void restore_times();
    void begin_log();
};

}  // namespace karma
