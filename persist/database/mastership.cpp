#include "persist/database/mastership.h"

#include <limits>
#include <utility>

#include "engine/error.h"
#include "persist/log_search.h"
#include "persist/meta_numbers.h"
#include "persist/storage_copy.h"

namespace karma {
namespace {

/// No history gets so far ahead of another one: a number beyond is damage, and would leave none for
/// promotions.
constexpr std::uint64_t epochs_ahead_max = 1'000'000;

}  // namespace

Mastership::Mastership(const DatabaseOptions& options, LiveState& live, NodeRole& node, Storage& storage,
                       SnapshotStore& snapshots, Failures& failures, bool syncs)
    : options_(options),
      live_(live),
      node_(node),
      storage_(storage),
      snapshots_(snapshots),
      failures_(failures),
      syncs_(syncs),
      identity_(storage, options.place, options.random) {}

/// What was told of the epochs of another database says nothing of this one's.
void Mastership::become(const DatabaseId& id) {
    if (are_strangers(id, database_id_) || holds_no_database()) {
        told_epoch_.reset();
    }
    database_id_ = id;
}

// ---- at the start

void Mastership::begin_role() {
    told_epoch_ = read_known_epoch(storage_);
    database_id_ = read_database_id(storage_);
    const bool is_behind = known_epoch_locked().is_later_than(last_epoch(live_.engine().epochs()));
    const bool was_promoted =
        !live_.engine().epochs().empty() && identity_.is_writer(live_.engine().epochs());
    if (options_.read_only) {
        node_.set(was_promoted && !is_behind ? Role::master : Role::slave);
    } else {
        node_.set(is_behind ? Role::fenced : Role::master);
    }
    node_.hold_log(node_.is_follower());
}

void Mastership::begin_identity() {
    if (identity_.copied_from()) {
        copy_warning_ = "this is a copy of the database of node " + node_id_text(*identity_.copied_from()) +
                        ": from here on it is node " + node_id_text(identity_.node_id());
        if (!options_.ended_cleanly) {
            copy_warning_ += "; " + short_copy_text(live_.engine().last_lsn());
        }
    }
    std::vector<RecordChange> changes = identity_.changes();
    const bool may_have_lost = storage_.read(Table::meta, may_lose_key).has_value();
    if (node_.is_master() && (may_have_lost || !identity_.is_writer(live_.engine().epochs()))) {
        begin_own_epoch(may_have_lost ? "events that followers have may have been lost"
                                      : "another node may append events in the one before");
        changes.push_back({Table::meta, may_lose_key, std::nullopt});
    }
    // A follower gets the id of its master's database.
    if (node_.is_master() && !database_id_.is_known()) {
        take_database_id(draw_database_id(options_.random), changes);
    }
    if (node_.is_master() && live_.engine().epochs().empty() && !identity_.is_writer({})) {
        identity_.become_first_writer(true);
        changes.push_back(identity_.first_writer_change(true));
    }
    // What this node forgets as a master, it forgets as the follower of another one until that tells its
    // limits.
    const std::optional<IdempotencyRetention> told = read_retention_told(storage_);
    const IdempotencyRetention& own = live_.retention();
    if (node_.is_master() &&
        (!told || told->records_max != own.records_max || told->age_max_s != own.age_max_s)) {
        changes.push_back(retention_told_change(own));
    }
    // Events may have the time of another clock from here on, which is not to be taken for the age.
    if (live_.engine().last_lsn() != 0 && !read_meta_number(storage_, age_key)) {
        changes.push_back(live_.age_change());
    }
    if (!changes.empty()) {
        storage_.write(changes, true);
    }
    snapshots_.set_database_id(database_id_);
}

/// Another node may append events in the last epoch. The new one is durable before the node id is: after a
/// crash between them it is begun again.
void Mastership::begin_own_epoch(const char* why) {
    const bool may_be_of_an_earlier_version =
        !identity_.copied_from() && !database_id_.is_known() && live_.engine().epochs().empty();
    // An empty one may be a copy as well: with the same id, other events of epoch 0 would be of its history.
    if (may_be_of_an_earlier_version || (is_empty() && !database_id_.is_known())) {
        return;
    }
    Epoch epoch = next_epoch();
    start_epoch(epoch);
    const std::string what =
        "it goes on in an epoch of its own, " + std::to_string(epoch.number) + ", as " + why;
    copy_warning_ += (copy_warning_.empty() ? "" : "; ") + what;
}

/// The write is synced.
void Mastership::end_cleanly() noexcept {
    try {
        if (!live_.has_failed() && storage_.read(Table::meta, may_lose_key)) {
            live_.commit_all();
            const RecordChange change{Table::meta, may_lose_key, std::nullopt};
            storage_.write(std::span(&change, 1), true);
        }
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): the next start begins an epoch
    }
}

// ---- identity

DatabaseId Mastership::database_id() const {
    const std::lock_guard lock(live_.mutex());
    return database_id_;
}

bool Mastership::is_empty() const {
    const std::lock_guard lock(live_.mutex());
    return is_empty_locked();
}

bool Mastership::is_empty_locked() const {
    return failures_.is_half_installed() ||
           (live_.engine().last_lsn() == 0 && live_.engine().series_count() == 0);
}

/// With the mutex held, or before there are threads. Epochs say nothing here then: of which database they
/// were is not known.
bool Mastership::holds_no_database() const { return !database_id_.is_known() && is_empty_locked(); }

/// With the mutex held, or before there are threads. What was told before there was a database says nothing
/// of it. `changes`, to be stored, get what has to be.
void Mastership::take_database_id(const DatabaseId& id, std::vector<RecordChange>& changes) {
    if (holds_no_database()) {
        told_epoch_.reset();
        changes.push_back(no_known_epoch_change());
    }
    database_id_ = id;
    changes.push_back(database_id_change(id));
}

void Mastership::adopt_database_id(const DatabaseId& id) {
    const FencingLock fencing = lock_fencing();
    std::vector<RecordChange> changes;
    {
        const std::lock_guard lock(live_.mutex());
        if (!id.is_known() || database_id_ == id) {
            return;
        }
        take_database_id(id, changes);
        identity_.become_first_writer(false);
        node_.begin_generation();  // those that follow were told another id, or none
    }
    live_.notify();
    changes.push_back(identity_.first_writer_change(false));
    storage_.write(changes, true);
    snapshots_.set_database_id(id);
}

void Mastership::use_idempotency_retention(const IdempotencyRetention& retention) {
    {
        const std::lock_guard lock(live_.mutex());
        const IdempotencyRetention& now = live_.retention();
        if (now.records_max == retention.records_max && now.age_max_s == retention.age_max_s) {
            return;
        }
        live_.set_retention(retention);
        live_.engine().set_retention(retention);
    }
    const RecordChange change = retention_told_change(retention);
    storage_.write(std::span(&change, 1), true);
}

// ---- epochs

Epochs Mastership::epochs() const {
    const std::lock_guard lock(live_.mutex());
    return live_.engine().epochs();
}

Epoch Mastership::known_epoch_locked() const {
    const Epoch own = last_epoch(live_.engine().epochs());
    return !holds_no_database() && told_epoch_ && told_epoch_->is_later_than(own) ? *told_epoch_ : own;
}

Epoch Mastership::known_epoch() const {
    const std::lock_guard lock(live_.mutex());
    return known_epoch_locked();
}

/// With the mutex held, or before there are threads.
Epoch Mastership::next_epoch() const {
    const Epoch known = known_epoch_locked();
    if (known.number == std::numeric_limits<std::uint64_t>::max()) {
        throw RequestError(ErrorCode::replication_error, "There is no epoch after the last one of 64 bits");
    }
    return {known.number + 1, options_.random(), 0, identity_.node_id()};
}

Lsn Mastership::start_epoch(Epoch& epoch) {
    epoch.first_lsn = live_.execute_own(mutation::StartEpoch{epoch.number, epoch.id, epoch.node});
    return epoch.first_lsn;
}

Epoch Mastership::draw_epoch() const {
    const std::lock_guard lock(live_.mutex());
    return next_epoch();
}

Epoch Mastership::promote(std::optional<Epoch> drawn) {
    Epoch epoch;
    std::vector<RecordChange> changes;
    {
        const std::lock_guard lock(live_.mutex());
        if (node_.is_master()) {
            throw RequestError(ErrorCode::validation_error, "This node is a master already");
        }
        if (!live_.has_log()) {
            throw RequestError(ErrorCode::validation_error,
                               "This node was started with --wal=false, and an epoch begins with an event of "
                               "the log: start it with --wal=true, then promote it");
        }
        if (live_.has_failed()) {
            throw RequestError(ErrorCode::internal_error,
                               "The event log of this node cannot be written: " + live_.failure());
        }
        if (drawn && known_epoch_locked().is_later_than(*drawn)) {
            throw RequestError(ErrorCode::replication_error,
                               "A later epoch became known before this one was begun: try again");
        }
        epoch = drawn ? *drawn : next_epoch();
        if (!database_id_.is_known()) {
            take_database_id(draw_database_id(options_.random), changes);
        }
    }
    if (!changes.empty()) {
        storage_.write(changes, true);
        snapshots_.set_database_id(database_id());
    }
    // Those of earlier masters: from here on others may begin.
    const std::vector<std::string> loads = open_loads();
    start_epoch(epoch);
    {
        const std::lock_guard lock(live_.mutex());
        node_.set(known_epoch_locked().is_later_than(epoch) ? Role::fenced : Role::master);
        node_.begin_generation();
        node_.hold_log(false);
    }
    live_.notify();
    if (ReplicationControl* const control = node_.control(); control != nullptr && node_.is_fenced()) {
        control->on_fenced();  // a later epoch became known meanwhile
    }
    if (node_.is_master()) {
        abort_loads(loads);
    }
    return epoch;
}

bool Mastership::fence(const Epoch& named, const DatabaseId& database) {
    bool is_later = false;
    bool was_master = false;
    {
        const FencingLock fencing = lock_fencing();
        {
            const std::lock_guard lock(live_.mutex());
            if (are_strangers(database, database_id_)) {
                throw RequestError(
                    ErrorCode::replication_error,
                    "This node holds another database: " + database_id_.text() + ", not " + database.text());
            }
            if (holds_no_database()) {
                return false;
            }
            const Epoch known = known_epoch_locked();
            if (named.number > known.number && named.number - known.number > epochs_ahead_max) {
                throw RequestError(ErrorCode::validation_error,
                                   "Epoch " + std::to_string(named.number) + " is more than " +
                                       std::to_string(epochs_ahead_max) + " after " +
                                       std::to_string(known.number) +
                                       ", the latest one known here: it cannot be true");
            }
            is_later = named.is_later_than(last_epoch(live_.engine().epochs()));
            if (!named.is_later_than(known)) {
                return is_later;  // noted already
            }
        }
        // Before anything changes in memory: where this fails the node is what it was, after a restart too.
        const RecordChange change = known_epoch_change(named);
        storage_.write(std::span(&change, 1), true);
        const std::lock_guard lock(live_.mutex());
        told_epoch_ = named;
        was_master = node_.is_master();
        if (was_master && named.is_later_than(last_epoch(live_.engine().epochs()))) {
            node_.set(Role::fenced);  // nothing is appended from here on
        }
        was_master = was_master && node_.is_fenced();
    }
    if (was_master) {
        end_mastership();
    }
    live_.notify();
    if (ReplicationControl* const control = node_.control()) {
        control->on_fenced();
    }
    return is_later;
}

/// What was applied goes to the disk before the replies that wait are answered: reads of it, and writes that
/// need no followers, are answered as ever.
void Mastership::end_mastership() {
    try {
        live_.commit_all();
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): the log has failed, and says so
    }
    const std::lock_guard lock(live_.mutex());
    if (node_.is_fenced()) {
        node_.begin_generation();
    }
}

void Mastership::demote() {
    // What clients were about to be told is in this history or in none, before another one is taken.
    live_.commit_all();
    const std::lock_guard lock(live_.mutex());
    if (node_.is_fenced()) {
        node_.set(Role::slave);
        node_.begin_generation();
        node_.hold_log(true);
    }
}

std::string Mastership::fenced_text() const {
    return "This node takes no writes: epoch " + std::to_string(known_epoch_locked().number) +
           " has begun on another node, its own is " +
           std::to_string(last_epoch(live_.engine().epochs()).number);
}

/// Loads of snapshots that are under way, or were cut short by the end of who began them.
std::vector<std::string> Mastership::open_loads() const {
    std::vector<std::string> ids;
    const std::lock_guard lock(live_.mutex());
    for (const StreamView& stream : live_.engine().streams().open_streams()) {
        if (stream.info.id.starts_with(load_stream_prefix)) {
            ids.push_back(stream.info.id);
        }
    }
    return ids;
}

void Mastership::abort_loads(const std::vector<std::string>& ids) {
    for (const std::string& id : ids) {
        live_.execute_own(mutation::AbortStream{id});
    }
}

}  // namespace karma
