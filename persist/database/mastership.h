#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/replicated.h"
#include "engine/storage.h"
#include "persist/database/background.h"
#include "persist/database/failures.h"
#include "persist/database/live_state.h"
#include "persist/database/node_role.h"
#include "persist/identity.h"
#include "persist/snapshot_store.h"

namespace karma {

/// Which database this is, which node holds it, and whose turn it is to append events
/// (docs/replication-protocol.md). Thread-safe, but for what is said to need the lock of the state.
class Mastership {
public:
    /// Everything outlives this. `syncs`: what is durable survives a loss of power.
    Mastership(const DatabaseOptions& options, LiveState& live, NodeRole& node, Storage& storage,
               SnapshotStore& snapshots, Failures& failures, bool syncs);

    // ---- at the start, before there are threads

    /// After the state was restored: what this node is.
    void begin_role();
    /// Before any other write: makes durable who this is.
    void begin_identity();
    /// What the operator has to know where this is a copy of another node's database; empty where it is none.
    const std::string& copy_warning() const noexcept { return copy_warning_; }
    /// At the end: what followers may have is on this disk as well.
    void end_cleanly() noexcept;

    // ---- identity: see Replicated

    DatabaseId database_id() const;
    NodeId node_id() const noexcept { return identity_.node_id(); }
    bool is_empty() const;
    bool syncs() const noexcept { return syncs_; }
    void adopt_database_id(const DatabaseId& id);
    void use_idempotency_retention(const IdempotencyRetention& retention);

    // ---- epochs: see Replicated

    Epochs epochs() const;
    Epoch known_epoch() const;
    Epoch draw_epoch() const;
    Epoch promote(std::optional<Epoch> drawn);
    bool fence(const Epoch& named, const DatabaseId& database);
    void demote();

    /// Ends loads of snapshots that were cut short by the end of who began them.
    void abort_own_loads() { abort_loads(open_loads()); }

    // ---- for who puts another state in place

    /// While it is held no epoch that is named is taken note of. Taken before the lock of the state.
    using FencingLock = std::unique_lock<std::mutex>;
    FencingLock lock_fencing() { return FencingLock(fence_mutex_); }
    /// With the lock, and with the state before still in memory: from here on it is this database.
    void become(const DatabaseId& id);

    // ---- with the lock of the state

    const DatabaseId& database_id_locked() const noexcept { return database_id_; }
    /// Why a fenced node takes no writes.
    std::string fenced_text() const;

private:
    void begin_own_epoch(const char* why);
    void end_mastership();
    Epoch next_epoch() const;
    Lsn start_epoch(Epoch& epoch);
    Epoch known_epoch_locked() const;
    bool is_empty_locked() const;
    bool holds_no_database() const;
    void take_database_id(const DatabaseId& id, std::vector<RecordChange>& changes);
    std::vector<std::string> open_loads() const;
    void abort_loads(const std::vector<std::string>& ids);

    const DatabaseOptions& options_;
    LiveState& live_;
    NodeRole& node_;
    Storage& storage_;
    SnapshotStore& snapshots_;
    Failures& failures_;
    bool syncs_;
    NodeIdentity identity_;            // changed at the start only
    DatabaseId database_id_;           // may be not known; under the lock of the state
    std::optional<Epoch> told_epoch_;  // the latest epoch that others have named; under the lock of the state
    std::string copy_warning_;
    std::mutex fence_mutex_;  // of who changes told_epoch_ or what is stored of it
};

}  // namespace karma
