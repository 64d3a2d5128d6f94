#include "persist/database/live_state.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "engine/error.h"
#include "engine/executor.h"
#include "persist/hash_seed.h"
#include "persist/meta_numbers.h"

namespace karma {

Error log_failed() {
    return {ErrorCode::internal_error,
            "The event log could not be written: nothing is accepted until the daemon is restarted"};
}

void throw_if_refused(const Reply& reply) {
    if (const auto* const refused = std::get_if<Error>(&reply)) {
        throw RequestError(refused->code, refused->message);
    }
}

LiveState::LiveState(const DatabaseOptions& options, Storage& storage, const IdempotencyRetention& retention,
                     Failures& failures, NodeRole& node, Background& background)
    : options_(options),
      storage_(storage),
      failures_(failures),
      node_(node),
      background_(background),
      clock_(options.clock_ms, options.steady_ms),
      engine_(ensure_hash_seed(storage, options.random), *this, retention),
      retention_(retention) {
    engine_.set_series_max(options.series_max);
    engine_.set_streams_max(options.streams_max);
}

void LiveState::begin_log() {
    GroupCommitter::Options committing{options_.wal_fsync, options_.wal_batch_size,
                                       options_.wal_batch_wait_us, options_.threads};
    committing.on_progress = [this] { notify(); };
    committing.on_failure = [this](const std::string& why) { failures_.report("event_log", why); };
    committer_ = std::make_unique<GroupCommitter>(storage_, mutex_, stats_, committing);
}

void LiveState::accept(const Event& event, const EventRecords& records) {
    if (committer_) {
        committer_->add(event, records);
    } else {
        unsaved_.add(event, records, engine_.idempotency().first_live_lsn());
    }
}

/// What the log has is what there is: a restart gives it.
bool LiveState::stop_if_half_changed() {
    if (!engine_.is_half_changed() || failures_.is_half_changed()) {
        return engine_.is_half_changed();
    }
    last_whole_lsn_.store(engine_.last_lsn() - 1, std::memory_order_release);
    failures_.set_half_changed();
    if (committer_) {
        committer_->fail(half_changed_text);
    } else {
        notify();
        failures_.report("memory", half_changed_text);
    }
    return true;
}

Lsn LiveState::last_lsn() const {
    const std::lock_guard lock(mutex_);
    return engine_.last_lsn();
}

IdempotencyRetention LiveState::idempotency_retention() const {
    const std::lock_guard lock(mutex_);
    return retention_;
}

void LiveState::begin_age(std::int64_t age_ms) {
    const DatabaseClock::Reading reading = clock_.read();
    age_.begin(std::min(age_ms, reading.now_ms), reading.steady_ms);
}

RecordChange LiveState::age_change() {
    return meta_numbers_change(age_key, {static_cast<std::uint64_t>(age_ms())});
}

// ---- durability

bool LiveState::commit() {
    if (!committer_) {
        return false;
    }
    if (committer_->prefers_commit_here()) {
        return committer_->commit_here();
    }
    const std::lock_guard lock(mutex_);
    committer_->flush();
    return false;
}

void LiveState::commit_all() {
    commit();
    if (!wait_durable(last_lsn())) {
        throw StorageError(committer_->failure());
    }
}

Lsn LiveState::durable_lsn() const noexcept {
    return committer_ ? committer_->durable_lsn() : last_whole_lsn_.load(std::memory_order_acquire);
}

std::optional<std::chrono::milliseconds> LiveState::ack_timeout() const noexcept {
    if (options_.replication_min_acks == 0) {
        return std::nullopt;
    }
    return std::chrono::milliseconds(options_.replication_ack_timeout_ms);
}

void LiveState::wait_acked(Lsn lsn, std::uint64_t executed_in, const Deadline& deadline) const {
    const auto check = [&] {
        if (node_.generation() != executed_in) {
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
    while (node_.acked_lsn() < lsn) {
        if (is_over()) {
            throw RequestError(ErrorCode::replication_error, not_acked_text);
        }
        check();
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

std::string LiveState::failure() const {
    std::string fatal = failures_.fatal();
    return fatal.empty() && committer_ ? committer_->failure() : fatal;
}

Lsn LiveState::execute_own(const Mutation& body, const Fingerprint& fingerprint) {
    PreparedMutation prepared;
    prepared.fingerprint = fingerprint;
    Outcome outcome;
    {
        const std::lock_guard lock(mutex_);
        if (has_failed()) {
            throw RequestError(ErrorCode::internal_error, log_failed().message);
        }
        // It may have waited in a queue while the role changed. An epoch is begun before its node is master.
        if (!node_.is_master() && !std::holds_alternative<mutation::StartEpoch>(body)) {
            throw RequestError(ErrorCode::replication_error,
                               "This node is no master any more: it takes no writes");
        }
        const DatabaseClock::Reading reading = clock_.read();
        engine_.limit_age(age_.at(reading));
        try {
            outcome = engine_.execute(Mutation(body), prepared, reading.now_ms);
        } catch (...) {
            stop_if_half_changed();
            throw;
        }
    }
    if (const auto* const reply = std::get_if<Reply>(&outcome.result)) {
        throw_if_refused(*reply);
    }
    // No more of them are under way than the log takes.
    commit();
    if (!wait_durable(outcome.wait_lsn)) {
        throw RequestError(ErrorCode::internal_error, log_failed().message);
    }
    return outcome.wait_lsn;
}

void LiveState::replicate(const Event& event) {
    try {
        engine_.replicate(event);
    } catch (...) {
        stop_if_half_changed();
        throw;
    }
}

// ---- views

StateView LiveState::view() {
    const MakingView making = make_view();
    std::shared_ptr<ViewCollection> collection;
    {
        const std::lock_guard lock(mutex_);
        collection = begin_view(making);
    }
    return finish_view(making, std::move(collection));
}

/// Records that could not be read are not told as forgotten.
std::shared_ptr<ViewCollection> LiveState::begin_view(const MakingView& /*making*/) {
    if (failures_.is_half_changed()) {
        throw StorageError(half_changed_text);
    }
    std::shared_ptr<ViewCollection> collection = engine_.begin_view();
    if (!has_records() || !records_failure_.empty()) {
        collection->view.records.reset();
    }
    return collection;
}

StateView LiveState::finish_view(const MakingView& /*making*/, std::shared_ptr<ViewCollection> collection) {
    constexpr std::size_t series_at_once = 512;
    for (bool is_complete = false; !is_complete;) {
        {
            const std::lock_guard lock(mutex_);
            if (failures_.is_half_changed()) {
                throw StorageError(half_changed_text);
            }
            is_complete = !engine_.collect_view(*collection, series_at_once);
        }
        std::this_thread::yield();  // others wait for the lock
    }
    return Engine::ordered(std::move(*collection));
}

// ---- idempotency records

void LiveState::set_has_records(const std::string& failure) {
    {
        const std::lock_guard lock(listeners_mutex_);
        records_failure_ = failure;
        has_records_.store(true, std::memory_order_release);
    }
    records_loaded_.notify_all();
    notify();
}

bool LiveState::wait_for_records() {
    std::unique_lock lock(listeners_mutex_);
    records_loaded_.wait(lock, [this] { return has_records() || background_.is_stopping(); });
    return has_records() && !background_.is_stopping();
}

// ---- listeners

int LiveState::add_listener(std::function<void()> listener) {
    const std::lock_guard lock(listeners_mutex_);
    listeners_.emplace(++next_listener_, std::move(listener));
    return next_listener_;
}

void LiveState::remove_listener(int number) {
    const std::lock_guard lock(listeners_mutex_);
    listeners_.erase(number);
}

void LiveState::notify() {
    const std::lock_guard lock(listeners_mutex_);
    for (const auto& entry : listeners_) {
        entry.second();
    }
}

}  // namespace karma
