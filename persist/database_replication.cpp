#include <algorithm>
#include <limits>
#include <thread>

#include "engine/error.h"
#include "engine/executor.h"
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

constexpr const char* note_prefix = "note_";  // notes of replication: docs/storage-format.md lists them

std::string note_key(std::string_view name) { return note_prefix + std::string(name); }

bool last_event_is_known(const Engine& engine) {
    return engine.last_event_ms() != std::numeric_limits<std::int64_t>::min();
}

/// Who takes over a history goes on from `age_ms`, up to when ages were measured there: this machine's clock
/// may be ahead.
void begin_age(AgeClock& age, std::int64_t age_ms, const DatabaseClock::Reading& reading) {
    age.begin(std::min(age_ms, reading.now_ms), reading.steady_ms);
}

bool tells_age(const ReceivedState& received) {
    return received.age_ms > 0 || last_event_is_known(received.engine);
}

/// Of a version that tells no age it is the time of the last event.
std::int64_t age_of(const ReceivedState& received) {
    return received.age_ms > 0 ? received.age_ms : received.engine.last_event_ms();
}

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
    std::vector<RecordChange> kept = records_of_node(storage_);
    kept.push_back(hash_seed_change(engine_.hash_seed()));
    storage_.clear(kept);
    snapshots_.forget_all(snapshots_.exclude_readers());
    discarded_ = "; a copy of a master's state that was cut short was removed";
}

/// After it.
void Database::begin_role() {
    marks_ = read_marks(storage_);
    told_epoch_ = read_known_epoch(storage_);
    database_id_ = read_database_id(storage_);
    const bool is_behind = known_epoch_locked().is_later_than(last_epoch(engine_.epochs()));
    const bool was_promoted = !engine_.epochs().empty() && identity_.is_writer(engine_.epochs());
    if (options_.read_only) {
        role_ = was_promoted && !is_behind ? Role::master : Role::slave;
    } else {
        role_ = is_behind ? Role::fenced : Role::master;
    }
    log_held_ = role() == Role::slave;
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
        const std::lock_guard lock(marks_mutex_);
        mark.checksum = marks_.checksum_at(lsn);
    }
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
    if (options_.wal && !options_.wal_fsync && !storage_.read(Table::meta, may_lose_key)) {
        // Who reads the log may have events that a loss of power takes back here.
        const RecordChange change{Table::meta, may_lose_key, "1"};
        storage_.write(std::span(&change, 1), true);
    }
    // Not while what it pins is being dropped.
    const std::lock_guard lock(retention_mutex_);
    return std::make_unique<PinOfLog>(*this, lsn);
}

Lsn Database::first_pinned_lsn() const {
    const std::lock_guard lock(pins_mutex_);
    return pins_.empty() ? std::numeric_limits<Lsn>::max() : *pins_.begin() + 1;
}

std::unique_ptr<StateReader> Database::read_state(LogPin& pin) {
    MakingView making = make_view();
    std::shared_ptr<ViewCollection> collection;
    StateTimes times;
    std::shared_ptr<const void> kept = records_kept_;  // before the view: see `forget_records`
    {
        const std::lock_guard lock(mutex_);
        collection = begin_view(making);
        times = {std::max<std::int64_t>(engine_.last_event_ms(), 0), age_.at(clock_.read())};
    }
    StateView state = finish_view(making, std::move(collection));
    making.unlock();
    if (!wait_durable(state.lsn)) {
        throw StorageError(log_failed().message);
    }
    const HistoryMark mark = mark_at(state.lsn);
    pin.advance(state.lsn);
    HistoryMarks marks = marks_up_to(state.lsn);
    return std::make_unique<StateSender>(std::move(state), times, mark, engine_.hash_seed(), storage_,
                                         database_id(), std::move(marks), std::move(kept));
}

void Database::set_acked_lsn(Lsn lsn, std::uint64_t generation) {
    {
        const std::lock_guard lock(acks_mutex_);
        if (generation != this->generation() || role() != Role::master || lsn <= acked_lsn()) {
            return;
        }
        acked_lsn_.store(lsn, std::memory_order_release);
    }
    notify();
}

void Database::begin_generation() {
    const std::lock_guard lock(acks_mutex_);
    acked_lsn_.store(0, std::memory_order_release);
    generation_.fetch_add(1, std::memory_order_acq_rel);
}

std::optional<std::string> Database::read_note(std::string_view name) const {
    return storage_.read(Table::meta, note_key(name));
}

void Database::write_note(std::string_view name, std::optional<std::string> text) {
    const RecordChange change{Table::meta, note_key(name), std::move(text)};
    storage_.write(std::span(&change, 1), true);
}

std::optional<std::chrono::milliseconds> Database::ack_timeout() const noexcept {
    if (options_.replication_min_acks == 0) {
        return std::nullopt;
    }
    return std::chrono::milliseconds(options_.replication_ack_timeout_ms);
}

void Database::wait_acked(Lsn lsn, std::uint64_t executed_in, const Deadline& deadline) const {
    const auto check = [&] {
        if (generation() != executed_in) {
            throw RequestError(ErrorCode::replication_error, generation_ended_text);
        }
    };
    check();
    const std::optional<std::chrono::milliseconds> timeout = ack_timeout();
    if (!timeout) {
        return;
    }
    const auto end = std::chrono::steady_clock::now() + *timeout;
    const auto is_over = [&] {
        try {
            deadline.check();
        } catch (const RequestError&) {
            return true;
        }
        return std::chrono::steady_clock::now() >= end;
    };
    while (acked_lsn() < lsn) {
        if (is_over()) {
            throw RequestError(ErrorCode::replication_error, not_acked_text);
        }
        check();
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

// ---- as a follower

bool Database::wait_until_ready() {
    std::unique_lock lock(listeners_mutex_);
    records_loaded_.wait(lock, [this] { return has_records() || stopping_.load(); });
    return has_records() && !stopping_.load();
}

/// A master of an earlier version may give events of decreasing times. The first event of all tells from when
/// ages are measured.
void Database::note_order(const Event& event) {
    if (event.time_ms < engine_.last_event_ms()) {
        const RecordChange change = ordered_lsn_change(event.lsn);
        storage_.write(std::span(&change, 1), false);
    }
    if (engine_.last_lsn() == 0) {
        begin_age(age_, event.time_ms, clock_.read());
        const RecordChange change = age_change();
        storage_.write(std::span(&change, 1), false);
    }
}

void Database::replicate_locked(const Event& event) {
    try {
        engine_.replicate(event);
    } catch (...) {
        stop_if_half_changed();
        throw;
    }
}

std::optional<StateView> Database::replicate(std::string_view group, std::optional<Lsn> view_at) {
    const MakingView making = view_at ? make_view() : MakingView();
    std::shared_ptr<ViewCollection> seen;
    std::vector<std::unique_ptr<Series>> retired;
    {
        const std::lock_guard lock(mutex_);
        check_installed();
        const auto look = [&] {
            if (view_at == engine_.last_lsn()) {
                seen = begin_view(making);
            }
        };
        look();
        read_event_group(group, [&](const Event& event) {
            if (event.lsn > engine_.last_lsn()) {
                note_order(event);
                replicate_locked(event);
                look();
            }
        });
        retired = engine_.take_retired();
    }
    destroy(std::move(retired));
    return seen ? std::optional(finish_view(making, std::move(seen))) : std::nullopt;
}

void Database::replicate(const Event& event) {
    std::vector<std::unique_ptr<Series>> retired;
    {
        const std::lock_guard lock(mutex_);
        check_installed();
        note_order(event);
        replicate_locked(event);
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

std::unique_ptr<StateWriter> Database::write_state(const IdempotencyRetention& retention) {
    return std::make_unique<StateReceiver>(retention,
                                           [this](ReceivedState& received, const Replacement& replacement) {
                                               return install_state(received, replacement);
                                           });
}

std::unique_ptr<ForeignStateWriter> Database::write_foreign_state() {
    return std::make_unique<ForeignState>(
        hash_seed(), idempotency_retention(),
        [this](ReceivedState& received) { install_state(received, Replacement()); });
}

/// A state that could not be put in place as a whole has left nothing that could be gone on with.
void Database::check_installed() const {
    if (is_half_installed_) {
        throw StorageError(half_installed_text);
    }
    if (is_half_changed_) {
        throw StorageError(half_changed_text);
    }
}

std::filesystem::path Database::install_state(ReceivedState& received, const Replacement& replacement) {
    if (!is_half_installed_) {
        commit_replicated();
    }
    const StateView view = received.engine.view();
    if (replacement.database_id.is_known() && received.database_id != replacement.database_id) {
        throw CorruptionError("the state is of another database than the master has told of");
    }
    if (view.lsn < replacement.lsn_min) {
        throw CorruptionError("the state ends at LSN " + std::to_string(view.lsn) + ", this node's at " +
                              std::to_string(replacement.lsn_min) + ": it is no continuation");
    }
    if (replacement.before) {
        replacement.before();
    }
    std::filesystem::path aside = move_aside(replacement);
    const std::lock_guard retention(retention_mutex_);
    // Until memory has the state too: a snapshot of the old one would name pages of the new one as its own.
    const SnapshotStore::Saving saving = snapshots_.begin_saving();
    {
        // Who reads for a follower ends, before what is read is gone.
        const std::lock_guard lock(mutex_);
        begin_generation();
    }
    notify();
    const RecordsFiles::Excluding no_file = records_files_.exclude();
    const SnapshotStore::Excluding excluding = snapshots_.exclude_readers();
    // An epoch that is named meanwhile is noted in what is stored then, or refused as one of another
    // database.
    const std::lock_guard fencing(fence_mutex_);
    try {
        replace_stored({saving, no_file, excluding}, received, view, replacement);
    } catch (...) {
        is_half_installed_ = true;
        notify();
        throw;
    }
    {
        const MakingView no_view = make_view();
        const std::lock_guard lock(mutex_);
        if (tells_age(received)) {
            begin_age(age_, age_of(received), clock_.read());
        }
        if (are_strangers(received.database_id, database_id_) || holds_no_database()) {
            told_epoch_.reset();
        }
        engine_.exchange_state(received.engine);
        database_id_ = received.database_id;
        options_.idempotency = received.retention;
        begin_generation();
        committer_->restart_after(view.lsn);
        is_half_installed_ = false;
        erased_.reset();
    }
    notify();
    set_snapshot_failure({});
    if (ReplicationControl* const control = control_) {
        control->on_fenced();  // the epochs of the state may be later ones than were known
    }
    const std::lock_guard lock(marks_mutex_);
    marks_ = std::move(received.marks);
    return aside;
}

/// Puts a state in the place of all that is stored.
void Database::replace_stored(const Replacing& held, const ReceivedState& received, const StateView& view,
                              const Replacement& replacement) {
    std::vector<RecordChange> kept = records_of_node(storage_);
    // What was told of the epochs of another database says nothing of this one's.
    const bool is_foreign = are_strangers(received.database_id, database_id());
    if (is_foreign || (!database_id().is_known() && is_empty())) {
        std::erase_if(kept, [](const RecordChange& record) { return is_known_epoch(record); });
    }
    kept.push_back({Table::meta, installing_key, "1"});
    kept.push_back(hash_seed_change(received.engine.hash_seed()));
    if (!replacement.order.empty()) {
        std::vector<std::string> orders = read_used_orders(storage_);
        orders.push_back(replacement.order);
        kept.push_back(used_orders_change(std::move(orders)));
    }
    const auto keep_note = [&](std::string_view name) {
        if (std::optional<std::string> note = storage_.read(Table::meta, note_key(name))) {
            kept.push_back({Table::meta, note_key(name), std::move(note)});
        }
    };
    keep_note(peers_note);
    if (!is_foreign) {
        keep_note(counted_note);
    }
    storage_.clear(kept);
    snapshots_.forget_all(held.excluding);
    tree_files_.forget_all();
    records_files_.forget_all(held.no_file);
    exports_.forget_all();
    const std::vector<RecordChange>& records = received.records;
    constexpr std::size_t at_once = 64;
    for (std::size_t i = 0; i < records.size(); i += at_once) {
        storage_.write(std::span(records).subspan(i, std::min(at_once, records.size() - i)), false);
    }
    std::vector<RecordChange> changes = {{Table::meta, installing_key, std::nullopt},
                                         first_record_change(view.of<IdempotencyIndex>().first_record_lsn),
                                         marks_change(received.marks),
                                         ordered_lsn_change(view.lsn + 1),
                                         retention_told_change(received.retention)};
    if (received.database_id.is_known()) {
        changes.push_back(database_id_change(received.database_id));
    }
    if (tells_age(received)) {
        changes.push_back(meta_numbers_change(age_key, {static_cast<std::uint64_t>(age_of(received))}));
    }
    if (last_event_is_known(received.engine)) {
        changes.push_back(meta_numbers_change(base_time_key,
                                              {static_cast<std::uint64_t>(received.engine.last_event_ms())}));
    }
    if (received.mark.checksum) {
        changes.push_back(meta_numbers_change(base_mark_key, {received.mark.lsn, *received.mark.checksum}));
    }
    snapshots_.set_database_id(received.database_id);
    skip_log_to(storage_, view.lsn + 1);
    snapshots_.save_all(held.saving, view, now_ms(), std::move(changes));
}

// ---- roles

void Database::demote() {
    // What clients were about to be told is in this history or in none, before another one is taken.
    commit_replicated();
    const std::lock_guard lock(mutex_);
    if (role() == Role::fenced) {
        role_ = Role::slave;
        begin_generation();
        log_held_ = true;
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

/// Takes note of an epoch that another node has named.
class FenceTask final : public Task {
public:
    FenceTask(Database& database, const control::Fence& named)
        : database_(database), name_(named.name), host_(named.host), named_(named) {
        named_.name = name_;
        named_.host = host_;
    }

    TaskKind kind() const override { return TaskKind::control; }
    std::size_t cost_bytes() const override { return std::numeric_limits<std::size_t>::max(); }
    Reply run(const Deadline& /*deadline*/) override {
        database_.fence({named_.number, named_.id, 0}, named_.database_id);
        if (ReplicationControl* const control = database_.control_) {
            control->note_announcement(named_);
        }
        return reply::FenceAnswer{database_.role() == Role::master ? "master" : "slave",
                                  database_.known_epoch()};
    }

private:
    Database& database_;
    std::string name_;  // owned: the request is gone when this runs
    std::string host_;
    control::Fence named_;
};

std::unique_ptr<Task> Database::promote_later(bool is_forced) {
    return std::make_unique<ReplicationTask>(*this, TaskKind::control,
                                             [is_forced](ReplicationControl& control, const Deadline&) {
                                                 return Reply(control.promote(is_forced));
                                             });
}

std::unique_ptr<Task> Database::promise_later(const control::Promise& asked) {
    return std::make_unique<ReplicationTask>(*this, TaskKind::control,
                                             [this, asked](ReplicationControl& control, const Deadline&) {
                                                 return Reply(control.promise(asked));
                                             });
}

std::unique_ptr<Task> Database::forget_follower_later(const control::ForgetFollower& asked) {
    return std::make_unique<ReplicationTask>(
        *this, TaskKind::control,
        [node = asked.node_id, name = std::string(asked.name)](ReplicationControl& control, const Deadline&) {
            return Reply(control.forget_follower(node, name));
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

std::unique_ptr<Task> Database::fence_later(const control::Fence& named) {
    return std::make_unique<FenceTask>(*this, named);
}

}  // namespace karma
