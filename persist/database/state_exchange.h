#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "engine/replicated.h"
#include "engine/storage.h"
#include "persist/data_directory.h"
#include "persist/database/failures.h"
#include "persist/database/live_state.h"
#include "persist/database/log_history.h"
#include "persist/database/mastership.h"
#include "persist/database/node_role.h"
#include "persist/database/retention.h"
#include "persist/database/served_files.h"
#include "persist/node_notes.h"
#include "persist/snapshot_store.h"
#include "persist/state_transfer.h"

namespace karma {

/// Gives the whole state to another node, and puts another one in the place of this one: see Replicated.
/// `read` is thread-safe; the rest is the business of the one thread that follows.
class StateExchange {
public:
    /// What it works on; everything outlives it.
    struct Uses {
        const DatabaseOptions& options;
        const DataDirectory* directory;  // null where there is none
        const Storage* owned_storage;    // null where storage was handed in: it is its owner's
        Storage& storage;
        SnapshotStore& snapshots;
        LiveState& live;
        NodeRole& node;
        Failures& failures;
        Mastership& mastership;
        LogHistory& history;
        Retention& retention;
        ServedFiles& files;
    };

    explicit StateExchange(const Uses& uses) : uses_(uses), notes_(uses.storage) {}

    /// At the start, before anything is restored: removes a state that was not put in place as a whole. Gives
    /// what the operator is told; empty where there is none. Throws StorageError where this node is no
    /// follower, which begins anew.
    std::string discard_interrupted();

    std::unique_ptr<StateReader> read(LogPin& pin);
    std::unique_ptr<StateWriter> write(const IdempotencyRetention& retention);
    std::unique_ptr<ForeignStateWriter> write_foreign();

private:
    /// What is held while a state takes the place of another one, in storage and in memory.
    struct Replacing {
        const SnapshotStore::Saving& saving;
        const RecordsFiles::Excluding& no_file;
        const SnapshotStore::Excluding& excluding;
    };

    std::filesystem::path install(ReceivedState& received, const Replacement& replacement);
    void check(const ReceivedState& received, const StateView& view, const Replacement& replacement) const;
    std::filesystem::path move_aside(const Replacement& replacement) const;
    void replace_stored(const Replacing& held, const ReceivedState& received, const StateView& view,
                        const Replacement& replacement);
    std::vector<RecordChange> kept_records(const ReceivedState& received,
                                           const Replacement& replacement) const;
    void replace_live(ReceivedState& received, Lsn lsn);

    Uses uses_;
    NodeNotes notes_;
};

}  // namespace karma
