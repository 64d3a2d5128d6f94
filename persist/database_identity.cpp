#include <algorithm>
#include <limits>

#include "engine/error.h"
#include "persist/database.h"

/// A database as one among others: which one it is, which node holds it, and whose turn it is to append events
/// (docs/replication-protocol.md).
namespace karma {
namespace {

/// No history gets so far ahead of another one: a number beyond is damage, and would leave none for promotions.
constexpr std::uint64_t epochs_ahead_max = 1'000'000;

}  // namespace

DatabaseId Database::database_id() const {
    const std::lock_guard lock(mutex_);
    return database_id_;
}

bool Database::is_empty() const {
    if (is_half_installed_) {
        return true;
    }
    const std::lock_guard lock(mutex_);
    return engine_.last_lsn() == 0 && engine_.series_count() == 0;
}

bool Database::syncs() const noexcept {
    return options_.wal && options_.wal_fsync && !(owned_storage_ && options_.storage == StorageKind::memory);
}

// ---- at the start

/// Before any write: makes durable who this is.
void Database::begin_identity() {
    if (identity_.copied_from()) {
        copy_warning_ = "this is a copy of the database of node " + node_id_text(*identity_.copied_from()) +
                        ": from here on it is node " + node_id_text(identity_.node_id());
    }
    if (role() == Role::master && !identity_.is_writer(engine_.epochs())) {
        begin_own_epoch();
    }
    std::vector<RecordChange> changes = identity_.changes();
    // A follower gets the id of its master's database.
    if (role() == Role::master && !database_id_.is_known()) {
        database_id_ = draw_database_id(options_.random);
        changes.push_back(database_id_change(database_id_));
    }
    if (role() == Role::master && engine_.epochs().empty() && !identity_.is_writer({})) {
        identity_.become_first_writer(true);
        changes.push_back(identity_.first_writer_change(true));
    }
    if (!changes.empty()) {
        storage_.write(changes, true);
    }
    snapshots_.set_database_id(database_id_);
}

/// Another node may append events in the last epoch. The new one is durable before the node id is: after a
/// crash between them it is begun again.
void Database::begin_own_epoch() {
    const bool may_be_of_an_earlier_version =
        !identity_.copied_from() && !database_id_.is_known() && engine_.epochs().empty();
    if (may_be_of_an_earlier_version || is_empty()) {
        return;
    }
    Epoch epoch = next_epoch();
    start_epoch(epoch);
    const std::string what = "it goes on in an epoch of its own, " + std::to_string(epoch.number) +
                             ", as another node may append events in the one before";
    copy_warning_ += (copy_warning_.empty() ? "" : "; ") + what;
}

// ---- epochs

Epoch Database::known_epoch_locked() const {
    const Epoch own = last_epoch(engine_.epochs());
    return told_epoch_ && told_epoch_->is_later_than(own) ? *told_epoch_ : own;
}

Epoch Database::known_epoch() const {
    const std::lock_guard lock(mutex_);
    return known_epoch_locked();
}

/// With the mutex held, or before there are threads.
Epoch Database::next_epoch() const {
    const Epoch known = known_epoch_locked();
    if (known.number == std::numeric_limits<std::uint64_t>::max()) {
        throw RequestError(ErrorCode::replication_error, "There is no epoch after the last one of 64 bits");
    }
    return {known.number + 1, options_.random(), 0, identity_.node_id()};
}

Lsn Database::start_epoch(Epoch& epoch) {
    epoch.first_lsn = execute_own(mutation::StartEpoch{epoch.number, epoch.id, epoch.node});
    return epoch.first_lsn;
}

Epoch Database::promote() {
    Epoch epoch;
    std::vector<RecordChange> changes;
    {
        const std::lock_guard lock(mutex_);
        if (role() != Role::slave) {
            throw RequestError(ErrorCode::validation_error, "This node is not a slave");
        }
        if (!committer_ || has_failed()) {
            throw RequestError(ErrorCode::internal_error, "This node has no event log that can be written");
        }
        epoch = next_epoch();
        if (!database_id_.is_known()) {
            database_id_ = draw_database_id(options_.random);
            changes.push_back(database_id_change(database_id_));
        }
    }
    if (!changes.empty()) {
        storage_.write(changes, true);
        snapshots_.set_database_id(database_id());
    }
    // What followers of an earlier history had says nothing of this one.
    set_acked_lsn(0);
    start_epoch(epoch);
    {
        const std::lock_guard lock(mutex_);
        role_ = known_epoch_locked().is_later_than(epoch) ? Role::fenced : Role::master;
    }
    if (ReplicationControl* const control = control_; control != nullptr && role() == Role::fenced) {
        control->on_fenced();  // a later epoch became known meanwhile
    }
    abort_loads();
    return epoch;
}

bool Database::fence(const Epoch& named) {
    bool is_later = false;
    {
        const std::lock_guard lock(mutex_);
        const Epoch known = known_epoch_locked();
        if (named.number > known.number && named.number - known.number > epochs_ahead_max) {
            throw RequestError(ErrorCode::validation_error,
                               "Epoch " + std::to_string(named.number) + " is more than " +
                                   std::to_string(epochs_ahead_max) + " after " +
                                   std::to_string(known.number) +
                                   ", the latest one known here: it cannot be true");
        }
        is_later = named.is_later_than(last_epoch(engine_.epochs()));
        if (!named.is_later_than(known)) {
            return is_later;  // noted already
        }
        told_epoch_ = named;
        if (role() == Role::master) {
            role_ = Role::fenced;
        }
    }
    const RecordChange change = known_epoch_change(named);
    storage_.write(std::span(&change, 1), true);
    if (ReplicationControl* const control = control_) {
        control->on_fenced();
    }
    return is_later;
}

}  // namespace karma
