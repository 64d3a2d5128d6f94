#include <algorithm>
#include <limits>

#include "engine/error.h"
#include "persist/database.h"
#include "persist/log_search.h"
#include "persist/meta_numbers.h"
#include "persist/rocksdb_storage.h"
#include "persist/state_transfer.h"
#include "persist/storage_copy.h"

/// A database as one among others: which one it is, which node holds it, and whose turn it is to append
/// events (docs/replication-protocol.md).
namespace karma {
namespace {

/// No history gets so far ahead of another one: a number beyond is damage, and would leave none for
/// promotions.
constexpr std::uint64_t epochs_ahead_max = 1'000'000;

}  // namespace

DatabaseId Database::database_id() const {
    const std::lock_guard lock(mutex_);
    return database_id_;
}

bool Database::is_empty() const {
    const std::lock_guard lock(mutex_);
    return is_empty_locked();
}

/// With the mutex held, or before there are threads. Epochs say nothing here then: of which database they
/// were is not known.
bool Database::holds_no_database() const { return !database_id_.is_known() && is_empty_locked(); }

bool Database::is_empty_locked() const {
    return is_half_installed_ || (engine_.last_lsn() == 0 && engine_.series_count() == 0);
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
        if (!options_.ended_cleanly) {
            copy_warning_ += "; " + short_copy_text(engine_.last_lsn());
        }
    }
    std::vector<RecordChange> changes = identity_.changes();
    const bool may_have_lost = storage_.read(Table::meta, may_lose_key).has_value();
    if (role() == Role::master && (may_have_lost || !identity_.is_writer(engine_.epochs()))) {
        begin_own_epoch(may_have_lost ? "events that followers have may have been lost"
                                      : "another node may append events in the one before");
        changes.push_back({Table::meta, may_lose_key, std::nullopt});
    }
    // A follower gets the id of its master's database.
    if (role() == Role::master && !database_id_.is_known()) {
        take_database_id(draw_database_id(options_.random), changes);
    }
    if (role() == Role::master && engine_.epochs().empty() && !identity_.is_writer({})) {
        identity_.become_first_writer(true);
        changes.push_back(identity_.first_writer_change(true));
    }
    // What this node forgets as a master, it forgets as the follower of another one until that tells its
    // limits.
    const std::optional<IdempotencyRetention> told = read_retention_told(storage_);
    const IdempotencyRetention& own = options_.idempotency;
    if (role() == Role::master &&
        (!told || told->records_max != own.records_max || told->age_max_s != own.age_max_s)) {
        changes.push_back(retention_told_change(own));
    }
    // Events may have the time of another clock from here on, which is not to be taken for the age.
    if (engine_.last_lsn() != 0 && !read_meta_number(storage_, age_key)) {
        changes.push_back(age_change());
    }
    if (!changes.empty()) {
        storage_.write(changes, true);
    }
    snapshots_.set_database_id(database_id_);
}

/// Another node may append events in the last epoch. The new one is durable before the node id is: after a
/// crash between them it is begun again.
void Database::begin_own_epoch(const char* why) {
    const bool may_be_of_an_earlier_version =
        !identity_.copied_from() && !database_id_.is_known() && engine_.epochs().empty();
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

/// What followers may have is on this disk now as well, as the write is synced.
void Database::end_cleanly() noexcept {
    run_in_background("storing the age", [this] {
        if (!has_failed()) {
            store_age();
        }
    });
    try {
        if (!has_failed() && storage_.read(Table::meta, may_lose_key)) {
            commit_replicated();
            const RecordChange change{Table::meta, may_lose_key, std::nullopt};
            storage_.write(std::span(&change, 1), true);
        }
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): the next start begins an epoch
    }
}

/// With the mutex held, or before there are threads. What was told before there was a database says nothing
/// of it. `changes`, to be stored, get what has to be.
void Database::take_database_id(const DatabaseId& id, std::vector<RecordChange>& changes) {
    if (holds_no_database()) {
        told_epoch_.reset();
        changes.push_back(no_known_epoch_change());
    }
    database_id_ = id;
    changes.push_back(database_id_change(id));
}

void Database::adopt_database_id(const DatabaseId& id) {
    const std::lock_guard fencing(fence_mutex_);
    std::vector<RecordChange> changes;
    {
        const std::lock_guard lock(mutex_);
        if (!id.is_known() || database_id_ == id) {
            return;
        }
        take_database_id(id, changes);
        identity_.become_first_writer(false);
        begin_generation();  // those that follow were told another id, or none
    }
    notify();
    changes.push_back(identity_.first_writer_change(false));
    storage_.write(changes, true);
    snapshots_.set_database_id(id);
}

// ---- what is known of events that are gone

void Database::mark_erased(Lsn end) {
    HistoryMarks marks;
    {
        const std::lock_guard lock(marks_mutex_);
        marks = marks_;
    }
    marks.extend(karma::first_kept_lsn(storage_), end, [this](Lsn lsn) { return mark_at(lsn).checksum; });
    const RecordChange change = marks_change(marks);
    storage_.write(std::span(&change, 1), true);
    const std::lock_guard lock(marks_mutex_);
    marks_ = std::move(marks);
}

HistoryMarks Database::marks_up_to(Lsn lsn) const {
    HistoryMarks marks;
    {
        const std::lock_guard lock(marks_mutex_);
        marks = marks_;
    }
    marks.extend(first_kept_lsn(), lsn + 1, [this](Lsn at) { return mark_at(at).checksum; });
    return marks;
}

// ---- orders and options that belong to the state

bool Database::is_order_used(const std::string& order) const {
    return std::ranges::count(read_used_orders(storage_), order) != 0;
}

std::string Database::unused_order() const {
    const std::vector<std::string> used = read_used_orders(storage_);
    for (std::size_t number = used.size() + 1;; ++number) {
        std::string order = "order-" + std::to_string(number);
        if (std::ranges::count(used, order) == 0) {
            return order;
        }
    }
}

/// A copy of the files, which share their contents with the database as long as it has them: whole at any
/// moment, also of a crash. What is in memory becomes files. Storage that was handed in is its owner's.
std::filesystem::path Database::move_aside(const Replacement& replacement) const {
    if (replacement.order.empty() || !owned_storage_ || !directory_) {
        return {};
    }
    std::filesystem::path aside = directory_->free_name("discarded-" + std::to_string(now_ms() / 1000));
    if (const auto* const files = dynamic_cast<const RocksdbStorage*>(owned_storage_.get())) {
        files->copy_to(aside);
    } else {
        const std::lock_guard retention(retention_mutex_);
        const auto kept = snapshots_.keep_all();
        copy_to_directory(storage_, aside);
    }
    return aside;
}

IdempotencyRetention Database::idempotency_retention() const {
    const std::lock_guard lock(mutex_);
    return options_.idempotency;
}

void Database::use_idempotency_retention(const IdempotencyRetention& retention) {
    {
        const std::lock_guard lock(mutex_);
        const IdempotencyRetention& now = options_.idempotency;
        if (now.records_max == retention.records_max && now.age_max_s == retention.age_max_s) {
            return;
        }
        options_.idempotency = retention;
        engine_.set_retention(retention);
    }
    const RecordChange change = retention_told_change(retention);
    storage_.write(std::span(&change, 1), true);
}

// ---- epochs

Epoch Database::known_epoch_locked() const {
    const Epoch own = last_epoch(engine_.epochs());
    return !holds_no_database() && told_epoch_ && told_epoch_->is_later_than(own) ? *told_epoch_ : own;
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

Epoch Database::draw_epoch() const {
    const std::lock_guard lock(mutex_);
    return next_epoch();
}

Epoch Database::promote(std::optional<Epoch> drawn) {
    Epoch epoch;
    std::vector<RecordChange> changes;
    {
        const std::lock_guard lock(mutex_);
        if (role() == Role::master) {
            throw RequestError(ErrorCode::validation_error, "This node is a master already");
        }
        if (!committer_) {
            throw RequestError(ErrorCode::validation_error,
                               "This node was started with --wal=false, and an epoch begins with an event of "
                               "the log: start it with --wal=true, then promote it");
        }
        if (has_failed()) {
            throw RequestError(ErrorCode::internal_error,
                               "The event log of this node cannot be written: " + failure());
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
        const std::lock_guard lock(mutex_);
        role_ = known_epoch_locked().is_later_than(epoch) ? Role::fenced : Role::master;
        begin_generation();
        log_held_ = false;
    }
    notify();
    if (ReplicationControl* const control = control_; control != nullptr && role() == Role::fenced) {
        control->on_fenced();  // a later epoch became known meanwhile
    }
    if (role() == Role::master) {
        abort_loads(loads);
    }
    return epoch;
}

bool Database::fence(const Epoch& named, const DatabaseId& database) {
    bool is_later = false;
    bool was_master = false;
    {
        const std::lock_guard fencing(fence_mutex_);
        {
            const std::lock_guard lock(mutex_);
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
            is_later = named.is_later_than(last_epoch(engine_.epochs()));
            if (!named.is_later_than(known)) {
                return is_later;  // noted already
            }
        }
        // Before anything changes in memory: where this fails the node is what it was, after a restart too.
        const RecordChange change = known_epoch_change(named);
        storage_.write(std::span(&change, 1), true);
        const std::lock_guard lock(mutex_);
        told_epoch_ = named;
        was_master = role() == Role::master;
        if (was_master && named.is_later_than(last_epoch(engine_.epochs()))) {
            role_ = Role::fenced;  // nothing is appended from here on
        }
        was_master = was_master && role() == Role::fenced;
    }
    if (was_master) {
        end_mastership();
    }
    notify();
    if (ReplicationControl* const control = control_) {
        control->on_fenced();
    }
    return is_later;
}

/// What was applied goes to the disk before the replies that wait are answered: reads of it, and writes that
/// need no followers, are answered as ever.
void Database::end_mastership() {
    try {
        commit_replicated();
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): the log has failed, and says so
    }
    const std::lock_guard lock(mutex_);
    if (role() == Role::fenced) {
        begin_generation();
    }
}

}  // namespace karma
