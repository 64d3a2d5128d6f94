#include <algorithm>
#include <utility>

#include "engine/error.h"
#include "engine/querier.h"
#include "persist/database.h"
#include "persist/database_tasks.h"
#include "persist/log_search.h"
#include "persist/meta_numbers.h"
#include "persist/record_store.h"

/// What a database does in the background, on the housekeeper's thread.
namespace karma {

namespace {

/// As the newest snapshot of everything has it; 0 without one.
Lsn newest_first_record_lsn(const SnapshotStore& snapshots) {
    for (const SnapshotStore::ManifestRef& manifest : snapshots.manifests()) {
        if (manifest->full) {
            return manifest->of<IdempotencyIndex>().first_record_lsn;
        }
    }
    return 0;
}

}  // namespace

/// The records are read while requests are served that do not need them.
void Database::load_records() {
    std::string failure;
    try {
        read_idempotency_records(storage_, [this](std::span<const IdempotencyRecord> records) {
            const std::lock_guard lock(mutex_);
            for (const IdempotencyRecord& record : records) {
                engine_.restore_record(record);
            }
            return !stopping_.load(std::memory_order_relaxed);
        });
    } catch (const std::exception& caught) {
        failure = caught.what();
    }
    set_has_records(failure);
    if (is_winding_down_) {
        return;
    }
    // Of databases that earlier versions have written; nobody waits for it.
    run_in_background("tidying storage", [this] { storage_.tidy(); });
    run_in_background("looking for the beginning of the event log", [this] {
        const auto kept = snapshots_.keep_state();
        ensure_unbroken_lsn(storage_);
    });
    run_in_background("looking for steps of the clock in the event log", [this] { find_order(); });
}

void Database::set_has_records(const std::string& failure) {
    {
        const std::lock_guard lock(listeners_mutex_);
        records_failure_ = failure;
        has_records_.store(true, std::memory_order_release);
    }
    records_loaded_.notify_all();
    notify();
}

void Database::forget_records() {
    constexpr std::size_t swept_at_once = 256;
    Lsn last_lsn = 0;
    std::uint64_t live = 0;
    Forgotten now;
    // No other state takes the place of this one between what is looked up and what is erased.
    const std::lock_guard retention(retention_mutex_);
    for (bool more = true; more;) {
        const std::lock_guard lock(mutex_);
        more = engine_.sweep_records(swept_at_once, engine_.last_event_ms());
        last_lsn = engine_.last_lsn();
        now = {engine_.idempotency().first_live_lsn(), engine_.idempotency().forgotten()};
        live = engine_.idempotency().size();
    }
    if (!committer_) {
        // A restart goes back to the newest snapshot, and to what was not forgotten by then.
        now.first_record_lsn = std::min(now.first_record_lsn, newest_first_record_lsn(snapshots_));
    }
    if (!records_failure_.empty() || !is_worth_erasing(now, live)) {
        return;
    }
    // A state that is being sent may be of a time before they were forgotten; one that is read from now on is
    // not.
    if (records_kept_.use_count() > 1) {
        return;
    }
    // What has made them go must not be taken back by a crash.
    if (committer_ && !committer_->wait_durable(last_lsn)) {
        return;
    }
    run_in_background("erasing idempotency records", [&] {
        erase_records_below(storage_, now.first_record_lsn);
        erased_ = now;
        erased_ms_ = clock_.steady_ms();
    });
}

/// Each removal rewrites what lies beside it, so it is done seldom and for many: for a part of what is live,
/// at most once in an hour unless they are as many as that.
bool Database::is_worth_erasing(const Forgotten& now, std::uint64_t live) const {
    constexpr std::uint64_t parts = 16;
    constexpr std::uint64_t many = 1'000'000;
    constexpr std::int64_t between_ms = 3'600'000;
    if (erased_ && now.first_record_lsn <= erased_->first_record_lsn) {
        return false;
    }
    if (!erased_) {
        return now.first_record_lsn != 0;  // those that an earlier run has left
    }
    const std::uint64_t forgotten = now.count - erased_->count;
    const bool has_waited = clock_.steady_ms() - erased_ms_ >= between_ms;
    return (has_waited && forgotten * parts >= live) || forgotten >= std::max(live, many);
}

void Database::wind_down() {
    is_winding_down_ = true;
    storage_.end_maintenance();
}

void Database::keep_house() {
    check_directory();
    check_storage();
    follow_clock();
    if (is_winding_down_) {
        return;
    }
    forget_records();
    run_in_background("snapshot", [this] { save_when_due(); });
    if (const std::int64_t now = clock_.steady_ms(); now - last_retention_ms_ >= retention_interval_ms) {
        last_retention_ms_ = now;
        // A sync of its own, beside those of the log.
        run_in_background("mark", [this] { storage_.mark_durable(); });
        run_in_background("retention", [this] { apply_retention(); });
    }
    run_in_background("retention", [this] { snapshots_.prune(UntilStopped(is_winding_down_)); });
    // Before somebody waits for it.
    run_in_background("listing snapshots", [this] { catalog_.get()->count(); });
    exports_.drop_idle();
    records_files_.drop_idle();
}

/// A note or a record that could not be written is told to who wanted it, and no event can be written after
/// that either. A node that writes none meanwhile must not seem well until it does.
void Database::check_storage() {
    if (!committer_ || committer_->has_failed() || !storage_.refuses_writes()) {
        return;
    }
    const std::lock_guard lock(mutex_);
    committer_->fail("the storage refuses to write after a write to its tables has failed");
}

/// What goes into files that nobody finds again is not durable: nothing is accepted any more. A directory
/// that became read-only is told of only: what the open files take is durable.
void Database::check_directory() {
    if (!directory_ || options_.storage != StorageKind::rocksdb || is_directory_lost_) {
        return;
    }
    const std::string loss = directory_->loss();
    const std::string refusal = loss.empty() ? directory_->write_refusal() : std::string();
    bool is_new = false;
    {
        const std::lock_guard lock(failure_mutex_);
        directory_loss_ = loss;
        is_new = std::exchange(write_refusal_, refusal).empty() && !refusal.empty();
    }
    if (!loss.empty()) {
        is_directory_lost_ = true;
        notify();  // who waits for the log waits in vain
    }
    if (options_.on_failure && (is_new || !loss.empty())) {
        options_.on_failure("data_directory", loss.empty() ? refusal : loss);
    }
}

void Database::follow_clock() {
    for (const std::string& message : clock_.follow()) {
        if (options_.on_warning) {
            options_.on_warning("clock_step", message);
        }
    }
    const DatabaseClock::Reading reading = clock_.read();
    {
        // What a step back takes from it is not given back by the step ahead that follows.
        const std::lock_guard lock(mutex_);
        age_.begin(age_.at(reading), reading.steady_ms);
        engine_.limit_age(age_.at(reading));
    }
    constexpr std::int64_t between_ms = 60'000;
    if (reading.steady_ms - last_age_ms_ >= between_ms) {
        last_age_ms_ = reading.steady_ms;
        run_in_background("storing the age", [this] { store_age(); });
    }
}

/// So that a restart goes on from it, whatever the clock says then.
void Database::store_age() {
    const std::lock_guard retention(retention_mutex_);
    RecordChange change;
    {
        const std::lock_guard lock(mutex_);
        if (engine_.last_lsn() == 0 || is_half_installed_) {
            return;
        }
        change = age_change();
    }
    storage_.write(std::span(&change, 1), false);
}

/// With the mutex held, or before there are threads.
RecordChange Database::age_change() {
    const std::int64_t age_ms = age_.at(clock_.read());
    return meta_numbers_change(age_key, {static_cast<std::uint64_t>(age_ms)});
}

/// Once in the life of a database: see read_ordered_lsn.
void Database::find_order() {
    const auto kept = snapshots_.keep_state();
    if (has_ordered_lsn(storage_)) {
        return;
    }
    const Lsn ordered = find_ordered_lsn(storage_, UntilStopped(is_winding_down_));
    const std::lock_guard lock(mutex_);
    if (!has_ordered_lsn(storage_)) {
        const RecordChange change = ordered_lsn_change(ordered);
        storage_.write(std::span(&change, 1), false);
    }
}

/// Failures end the work, not the thread: it is tried again the next time.
void Database::run_in_background(const char* what, const std::function<void()>& work) const {
    try {
        work();
    } catch (const std::exception& failure) {
        if (options_.on_failure && !is_winding_down_) {
            options_.on_failure(what, failure.what());
        }
    }
}

// ---- snapshots

Reply Database::store_snapshot(const std::optional<std::string>& series, const Deadline& deadline) {
    try {
        Reply reply = try_to_store_snapshot(series, deadline);
        set_snapshot_failure({});
        return reply;
    } catch (const RequestError&) {
        throw;  // given up, which says nothing of the storage
    } catch (const std::exception& failure) {
        set_snapshot_failure(failure.what());
        throw;
    }
}

void Database::set_snapshot_failure(const std::string& failure) {
    const std::lock_guard lock(failure_mutex_);
    snapshot_failure_ = failure;
}

std::string Database::snapshot_failure() const {
    const std::lock_guard lock(failure_mutex_);
    return snapshot_failure_;
}

Reply Database::try_to_store_snapshot(const std::optional<std::string>& series, const Deadline& deadline) {
    const SnapshotStore::Saving saving = snapshots_.begin_saving();
    deadline.check();
    if (!committer_) {
        storage_.recover();  // nothing but snapshots is written: what has failed can be tried again
    }
    // Without a log only a snapshot of everything is a state to come back to: one of a single series would
    // be ahead of the others, and of the records of its requests.
    const bool is_full = !series || !committer_;
    MakingView making = make_view();
    std::shared_ptr<ViewCollection> collection;
    StateView all;
    SeriesView one;
    Lsn lsn = 0;
    UnsavedRecords::Batch unsaved;
    {
        const std::lock_guard lock(mutex_);
        check_installed();
        lsn = engine_.last_lsn();
        const Series* const found = series ? engine_.find_series(*series) : nullptr;
        if (series && found == nullptr) {
            return series_not_found(*series);
        }
        if (is_full) {
            collection = begin_view(making);
            unsaved = unsaved_.take();
        } else {
            one = found->view();
        }
    }
    if (collection) {
        try {
            all = finish_view(making, std::move(collection));
        } catch (...) {
            const std::lock_guard lock(mutex_);
            unsaved_.put_back(std::move(unsaved));
            throw;
        }
    }
    making.unlock();
    if (committer_ && !committer_->wait_durable(lsn)) {
        return log_failed();
    }
    if (committer_ && is_full) {
        snapshots_.save_all(saving, all, now_ms(), {}, deadline);
    } else if (committer_) {
        snapshots_.save_series(saving, one, lsn, now_ms(), deadline);
    } else {
        save_all_there_is(saving, std::move(all), std::move(unsaved), deadline);
    }
    return series ? Reply(reply::SnapshotSaved{*series}) : Reply(reply::Ok{});
}

/// Without a log: what a restart goes back to.
void Database::save_all_there_is(const SnapshotStore::Saving& saving, StateView view,
                                 UnsavedRecords::Batch unsaved, const Deadline& deadline) {
    // A load that is under way cannot go on after a restart.
    IngestStreams::View streams = view.of<IngestStreams>();
    std::erase_if(streams.open,
                  [](const StreamView& stream) { return stream.info.id.starts_with(load_stream_prefix); });
    view.components.set(IngestStreams::name, std::make_shared<const IngestStreams::View>(std::move(streams)));
    try {
        std::vector<RecordChange> changes = unsaved.changes();
        changes.push_back(first_record_change(view.of<IdempotencyIndex>().first_record_lsn));
        snapshots_.save_all(saving, view, now_ms(), std::move(changes), deadline);
    } catch (...) {
        const std::lock_guard lock(mutex_);
        unsaved_.put_back(std::move(unsaved));
        throw;
    }
}

void Database::save_when_due() {
    constexpr std::int64_t retry_ms = 10'000;
    const std::int64_t interval_ms = std::int64_t{options_.snapshot_interval_s} * 1000;
    const std::int64_t since_ms = clock_.steady_ms() - last_snapshot_ms_;
    const bool is_due = interval_ms != 0 && since_ms >= interval_ms;
    const bool is_to_be_retried = !snapshot_failure().empty() && since_ms >= retry_ms;
    if (!is_due && !is_to_be_retried) {
        return;
    }
    last_snapshot_ms_ = clock_.steady_ms();
    save_snapshot_if_changed(UntilStopped(is_winding_down_));
}

bool Database::save_snapshot_if_changed(const Deadline& deadline) {
    if (last_lsn() <= snapshots_.last_full_lsn()) {
        return false;
    }
    save_snapshot(deadline);
    return true;
}

// ---- retention

/// By the clock of ages: what a clock that is ahead makes old is not.
std::int64_t Database::retention_now_ms() const {
    const std::lock_guard lock(mutex_);
    return age_.at(clock_.read());
}

/// The first event that the options want kept; 1 for all.
Lsn Database::first_retained_lsn() const {
    Lsn first = 1;
    if (options_.event_retention_s != 0) {
        const auto age_ms = static_cast<std::int64_t>(options_.event_retention_s) * 1000;
        first = std::max(first, first_lsn_from_time(storage_, retention_now_ms() - age_ms));
    }
    if (options_.event_retention_bytes != 0 && storage_.log_bytes() > options_.event_retention_bytes) {
        Lsn low = first;
        Lsn high = storage_.next_lsn();
        while (low < high) {
            const Lsn middle = low + (high - low) / 2;
            if (storage_.log_bytes_from(middle) > options_.event_retention_bytes) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        first = std::max(first, low);
    }
    return first;
}

void Database::apply_retention() {
    const std::lock_guard lock(retention_mutex_);
    constexpr std::int64_t history_parts = 16;
    const Lsn first = options_.wal ? first_retained_lsn() : 1;
    const auto age_ms = static_cast<std::int64_t>(options_.event_retention_s) * 1000;
    snapshots_.set_retention({options_.snapshots_retained, first, age_ms / history_parts});
    snapshots_.prune(UntilStopped(is_winding_down_));
    // What the oldest snapshot needs to reach the present is kept in any case.
    const std::optional<Lsn> oldest = snapshots_.oldest_full_lsn();
    if (!oldest || first <= 1) {
        return;
    }
    const Lsn keep_from = std::min({first, *oldest + 1, first_pinned_lsn()});
    if (holds_log()) {
        return;
    }
    if (keep_from > first_stored_lsn(storage_) && is_worth_erasing(keep_from) && has_verified_base()) {
        mark_erased(keep_from);
        storage_.erase_log_below(keep_from);
    }
}

/// Giving space back rewrites what lies beside it, so it is done for a part of the log at a time.
bool Database::is_worth_erasing(Lsn keep_from) const {
    constexpr std::uint64_t parts = 16;
    const std::uint64_t bytes = storage_.log_bytes();
    const std::uint64_t kept = std::min(bytes, storage_.log_bytes_from(keep_from));
    return (bytes - kept) * parts >= bytes;
}

}  // namespace karma
