#include <algorithm>
#include <limits>
#include <thread>

#include "engine/error.h"
#include "persist/database.h"
#include "persist/database_tasks.h"
#include "persist/foreign_state.h"
#include "persist/hash_seed.h"
#include "persist/log_search.h"
#include "persist/meta_numbers.h"
#include "persist/record_store.h"
#include "persist/restore.h"
#include "persist/state_transfer.h"

/// A database as one of several nodes: what it gives to those that follow it, and takes from the one that it
/// follows. The keys of its own in the table `meta` are in docs/storage-format.md.
namespace karma {
namespace {

constexpr const char* base_mark_key = "base_mark";  // LSN and checksum of the event before the log
constexpr const char* own_epoch_key = "own_epoch";  // the id of the epoch that this node began
constexpr const char* fenced_by_key = "fenced_by";  // number and id of a later epoch of another node

void write_one(Storage& storage, const RecordChange& change) { storage.write(std::span(&change, 1), true); }

}  // namespace

/// Keeps the log above an LSN.
class PinOfLog final : public LogPin {
public:
    PinOfLog(Database& database, Lsn lsn) : database_(database) {
        const std::lock_guard lock(database_.pins_mutex_);
        place_ = database_.pins_.insert(lsn);
    }
    ~PinOfLog() override {
        const std::lock_guard lock(database_.pins_mutex_);
        database_.pins_.erase(place_);
    }

    void advance(Lsn lsn) override {
        const std::lock_guard lock(database_.pins_mutex_);
        if (lsn > *place_) {
            database_.pins_.erase(place_);
            place_ = database_.pins_.insert(lsn);
        }
    }

private:
    Database& database_;
    std::multiset<Lsn>::iterator place_;
};

// ---- at the start

/// Before anything is restored.
void Database::discard_interrupted_state() {
    if (!storage_.read(Table::meta, installing_key)) {
        return;
    }
    if (!options_.read_only) {
        throw StorageError(
            "this database was being filled from its master and is not whole: start it with --role=slave, "
            "which begins anew, or with --restore=false, which puts it aside");
    }
    const RecordChange seed = hash_seed_change(engine_.hash_seed());
    storage_.clear(std::span(&seed, 1));
    snapshots_.forget_all(snapshots_.exclude_readers());
    discarded_ = "; a copy of a master's state that was cut short was removed";
}

/// After it.
void Database::begin_role() {
    if (const auto fenced = read_meta_numbers(storage_, fenced_by_key, 2)) {
        fenced_by_ = Epoch{fenced->front(), fenced->back(), 0};
    }
    const bool is_behind = fenced_by_ && fenced_by_->is_later_than(last_epoch(engine_.epochs()));
    const bool was_promoted =
        !engine_.epochs().empty() && engine_.epochs().back().id == read_meta_number(storage_, own_epoch_key);
    if (options_.read_only) {
        role_ = was_promoted && !is_behind ? Role::master : Role::slave;
    } else {
        role_ = is_behind ? Role::fenced : Role::master;
    }
}

// ---- for those who follow

Epochs Database::epochs() const {
    const std::lock_guard lock(mutex_);
    return engine_.epochs();
}

HistoryMark Database::mark_at(Lsn lsn) const {
    HistoryMark mark{lsn, std::nullopt};
    if (lsn == 0) {
        mark.checksum = 0;
        return mark;
    }
    const auto kept = snapshots_.keep_state();
    storage_.read_log(lsn, [&](const EventGroup& group) {
        if (group.first_lsn <= lsn) {
            read_group(group, [&](const Event& event) {
                if (event.lsn == lsn) {
                    mark.checksum = checksum_of(event);
                }
            });
        }
        return false;
    });
    if (!mark.checksum) {
        const auto base = read_meta_numbers(storage_, base_mark_key, 2);
        if (base && base->front() == lsn) {
            mark.checksum = static_cast<std::uint32_t>(base->back());
        }
    }
    return mark;
}

Lsn Database::first_kept_lsn() const {
    const auto kept = snapshots_.keep_state();
    const Lsn first = karma::first_kept_lsn(storage_);
    return first == 0 ? storage_.next_lsn() : first;
}

void Database::read_log(Lsn from, const std::function<bool(const EventGroup&)>& visit) const {
    const auto kept = snapshots_.keep_state();
    const Lsn durable = durable_lsn();
    storage_.read_log(from, [&](const EventGroup& group) {
        return group.first_lsn + group.count - 1 <= durable && visit(group);
    });
}

std::unique_ptr<LogPin> Database::pin_log(Lsn lsn) {
    // Not while what it pins is being dropped.
    const std::lock_guard lock(retention_mutex_);
    return std::make_unique<PinOfLog>(*this, lsn);
}

Lsn Database::first_pinned_lsn() const {
    const std::lock_guard lock(pins_mutex_);
    return pins_.empty() ? std::numeric_limits<Lsn>::max() : *pins_.begin() + 1;
}

std::unique_ptr<StateReader> Database::read_state(LogPin& pin) {
    StateView state = view();
    if (!wait_durable(state.lsn)) {
        throw StorageError(log_failed().message);
    }
    const HistoryMark mark = mark_at(state.lsn);
    pin.advance(state.lsn);
    return std::make_unique<StateSender>(std::move(state), mark, engine_.hash_seed(), storage_);
}

void Database::set_acked_lsn(Lsn lsn) {
    if (acked_lsn_.exchange(lsn, std::memory_order_acq_rel) != lsn) {
        notify();
    }
}

std::optional<std::chrono::milliseconds> Database::ack_timeout() const noexcept {
    if (options_.replication_min_acks == 0) {
        return std::nullopt;
    }
    return std::chrono::milliseconds(options_.replication_ack_timeout_ms);
}

void Database::wait_acked(Lsn lsn) const {
    const std::optional<std::chrono::milliseconds> timeout = ack_timeout();
    if (!timeout) {
        return;
    }
    const auto end = std::chrono::steady_clock::now() + *timeout;
    while (acked_lsn() < lsn) {
        if (std::chrono::steady_clock::now() >= end) {
            throw RequestError(ErrorCode::replication_error, not_acked_text);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

// ---- as a follower

bool Database::wait_until_ready() {
    std::unique_lock lock(listeners_mutex_);
    records_loaded_.wait(lock, [this] { return has_records() || stopping_.load(); });
    return has_records() && !stopping_.load();
}

std::optional<StateView> Database::replicate(std::string_view group, std::optional<Lsn> view_at) {
    std::optional<StateView> seen;
    std::vector<std::unique_ptr<Series>> retired;
    {
        const std::lock_guard lock(mutex_);
        check_installed();
        const auto look = [&] {
            if (view_at == engine_.last_lsn()) {
                seen = engine_.view();
            }
        };
        look();
        read_event_group(group, [&](const Event& event) {
            if (event.lsn > engine_.last_lsn()) {
                engine_.replicate(event);
                look();
            }
        });
        retired = engine_.take_retired();
    }
    destroy(std::move(retired));
    return seen;
}

void Database::replicate(const Event& event) {
    std::vector<std::unique_ptr<Series>> retired;
    {
        const std::lock_guard lock(mutex_);
        check_installed();
        engine_.replicate(event);
        retired = engine_.take_retired();
    }
    destroy(std::move(retired));
}

void Database::commit_replicated() {
    commit();
    if (!wait_durable(last_lsn())) {
        throw StorageError(committer_->failure());
    }
}

std::unique_ptr<StateWriter> Database::write_state() {
    return std::make_unique<StateReceiver>(
        options_.idempotency,
        [this](Engine& state, std::vector<RecordChange> records, const HistoryMark& mark) {
            install_state(state, std::move(records), mark);
        });
}

std::unique_ptr<ForeignStateWriter> Database::write_foreign_state() {
    return std::make_unique<ForeignState>(
        hash_seed(), options_.idempotency,
        [this](Engine& state, std::vector<RecordChange> records, const HistoryMark& mark) {
            install_state(state, std::move(records), mark);
        });
}

/// A state that could not be put in place as a whole has left nothing that could be gone on with.
void Database::check_installed() const {
    if (is_half_installed_) {
        throw StorageError(half_installed_text);
    }
}

void Database::install_state(Engine& state, std::vector<RecordChange> records, const HistoryMark& mark) {
    if (!is_half_installed_) {
        commit_replicated();
    }
    const StateView view = state.view();
    const std::lock_guard retention(retention_mutex_);
    // Until memory has the state too: a snapshot of the old one would name pages of the new one as its own.
    const SnapshotStore::Saving saving = snapshots_.begin_saving();
    const RecordsFiles::Excluding no_file = records_files_.exclude();
    const SnapshotStore::Excluding excluding = snapshots_.exclude_readers();
    try {
        replace_stored({saving, no_file, excluding}, view, std::move(records), mark, state.hash_seed());
    } catch (...) {
        is_half_installed_ = true;
        notify();
        throw;
    }
    {
        const std::lock_guard lock(mutex_);
        engine_.exchange_state(state);
        generation_.fetch_add(1, std::memory_order_acq_rel);
        committer_->restart_after(view.lsn);
        is_half_installed_ = false;
    }
    set_snapshot_failure({});
}

/// Puts a state in the place of all that is stored.
void Database::replace_stored(const Replacing& held, const StateView& view, std::vector<RecordChange> records,
                              const HistoryMark& mark, std::uint64_t hash_seed) {
    std::vector<RecordChange> kept = {{Table::meta, installing_key, "1"}, hash_seed_change(hash_seed)};
    for (const char* const key : {own_epoch_key, fenced_by_key}) {
        if (std::optional<std::string> value = storage_.read(Table::meta, key)) {
            kept.push_back({Table::meta, key, std::move(value)});
        }
    }
    storage_.clear(kept);
    snapshots_.forget_all(held.excluding);
    tree_files_.forget_all();
    records_files_.forget_all(held.no_file);
    exports_.forget_all();
    constexpr std::size_t at_once = 64;
    for (std::size_t i = 0; i < records.size(); i += at_once) {
        storage_.write(std::span(records).subspan(i, std::min(at_once, records.size() - i)), false);
    }
    std::vector<RecordChange> changes = {{Table::meta, installing_key, std::nullopt},
                                         first_record_change(view.first_record_lsn)};
    if (mark.checksum) {
        changes.push_back(meta_numbers_change(base_mark_key, {mark.lsn, *mark.checksum}));
    }
    skip_log_to(storage_, view.lsn + 1);
    snapshots_.save_all(held.saving, view, now_ms(), std::move(changes));
}

// ---- roles

Epoch Database::promote() {
    Epoch epoch;
    {
        const std::lock_guard lock(mutex_);
        if (role() != Role::slave) {
            throw RequestError(ErrorCode::validation_error, "This node is not a slave");
        }
        if (!committer_ || has_failed()) {
            throw RequestError(ErrorCode::internal_error, "This node has no event log that can be written");
        }
        epoch.number = last_epoch(engine_.epochs()).number;
        if (fenced_by_) {
            epoch.number = std::max(epoch.number, fenced_by_->number);
        }
        if (epoch.number == std::numeric_limits<std::uint64_t>::max()) {
            throw RequestError(ErrorCode::replication_error,
                               "There is no epoch after the last one of 64 bits");
        }
        ++epoch.number;
    }
    epoch.id = options_.random();
    write_one(storage_, meta_numbers_change(own_epoch_key, {epoch.id}));
    // What followers of an earlier history had says nothing of this one.
    set_acked_lsn(0);
    // Those of earlier masters: from here on others may begin.
    const std::vector<std::string> loads = open_loads();
    epoch.first_lsn = execute_own(mutation::StartEpoch{epoch.number, epoch.id});
    {
        const std::lock_guard lock(mutex_);
        role_ = fenced_by_ && fenced_by_->is_later_than(epoch) ? Role::fenced : Role::master;
    }
    if (ReplicationControl* const control = control_; control != nullptr && role() == Role::fenced) {
        control->on_fenced();  // a later epoch became known meanwhile
    }
    if (role() == Role::master) {
        abort_loads(loads);
    }
    return epoch;
}

bool Database::fence(const Epoch& later) {
    {
        const std::lock_guard lock(mutex_);
        if (!later.is_later_than(last_epoch(engine_.epochs()))) {
            return false;
        }
        if (!fenced_by_ || later.is_later_than(*fenced_by_)) {
            fenced_by_ = later;
        }
        if (role() == Role::master) {
            role_ = Role::fenced;
        }
    }
    write_one(storage_, meta_numbers_change(fenced_by_key, {later.number, later.id}));
    if (ReplicationControl* const control = control_) {
        control->on_fenced();
    }
    return true;
}

void Database::demote() {
    const std::lock_guard lock(mutex_);
    if (role() == Role::fenced) {
        role_ = Role::slave;
    }
}

std::string Database::replication_alarm() const {
    const ReplicationControl* const control = control_;
    return control == nullptr ? std::string() : control->alarm();
}

ReplicationFigures Database::replication_figures() const {
    const ReplicationControl* const control = control_;
    return control == nullptr ? ReplicationFigures() : control->figures();
}

/// A request that replication answers: it may wait for other nodes.
class ReplicationTask final : public Task {
public:
    using Run = std::function<Reply(ReplicationControl& control, const Deadline& deadline)>;
    ReplicationTask(Database& database, TaskKind kind, Run run)
        : database_(database), kind_(kind), run_(std::move(run)) {}

    TaskKind kind() const override { return kind_; }
    std::size_t cost_bytes() const override { return std::numeric_limits<std::size_t>::max(); }
    Reply run(const Deadline& deadline) override {
        ReplicationControl* const control = database_.control_;
        return control == nullptr ? Reply(Error{ErrorCode::replication_error, "This node does not replicate"})
                                  : run_(*control, deadline);
    }

private:
    Database& database_;
    TaskKind kind_;
    Run run_;
};

/// Looks up a place of the history.
class PositionTask final : public Task {
public:
    PositionTask(Database& database, std::optional<Lsn> lsn, Lsn last_lsn)
        : database_(database), lsn_(lsn.value_or(last_lsn)), last_lsn_(last_lsn) {}

    TaskKind kind() const override { return TaskKind::control; }
    std::size_t cost_bytes() const override { return std::numeric_limits<std::size_t>::max(); }
    Reply run(const Deadline& /*deadline*/) override {
        const HistoryMark mark = database_.mark_at(lsn_);
        return reply::HistoryPosition{lsn_, mark.checksum, database_.first_kept_lsn(), last_lsn_,
                                      database_.epochs()};
    }

private:
    Database& database_;
    Lsn lsn_;
    Lsn last_lsn_;
};

/// Takes note of a later epoch of another node.
class FenceTask final : public Task {
public:
    FenceTask(Database& database, const Epoch& later) : database_(database), later_(later) {}

    TaskKind kind() const override { return TaskKind::control; }
    std::size_t cost_bytes() const override { return std::numeric_limits<std::size_t>::max(); }
    Reply run(const Deadline& /*deadline*/) override {
        database_.fence(later_);
        return reply::FenceAnswer{database_.role() == Role::master ? "master" : "slave",
                                  last_epoch(database_.epochs())};
    }

private:
    Database& database_;
    Epoch later_;
};

std::unique_ptr<Task> Database::promote_later() {
    return std::make_unique<ReplicationTask>(*this, TaskKind::control,
                                             [](ReplicationControl& control, const Deadline&) {
                                                 return Reply(reply::Promoted{control.promote()});
                                             });
}

std::unique_ptr<Task> Database::compare_digests_later() {
    return std::make_unique<ReplicationTask>(*this, TaskKind::administration,
                                             [](ReplicationControl& control, const Deadline& deadline) {
                                                 return Reply(control.compare_digests(deadline));
                                             });
}

std::unique_ptr<Task> Database::find_position_later(std::optional<Lsn> lsn) {
    return std::make_unique<PositionTask>(*this, lsn, engine_.last_lsn());
}

std::unique_ptr<Task> Database::fence_later(const Epoch& later) {
    return std::make_unique<FenceTask>(*this, later);
}

}  // namespace karma
