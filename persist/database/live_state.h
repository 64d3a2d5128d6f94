#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "engine/engine.h"
#include "engine/storage.h"
#include "persist/database/background.h"
#include "persist/database/failures.h"
#include "persist/database/node_role.h"
#include "persist/database_clock.h"
#include "persist/database_options.h"
#include "persist/group_committer.h"
#include "persist/unsaved_records.h"

namespace karma {

/// The state in memory: the engine and the lock around it, the clock by which its events are made, and the
/// committer that makes them durable. Thread-safe, but for what is said to need the lock.
class LiveState final : private EventSink {
public:
    using Lock = std::unique_lock<std::mutex>;

    /// Everything outlives this. `retention`: how long idempotency records live.
    LiveState(const DatabaseOptions& options, Storage& storage, const IdempotencyRetention& retention,
              Failures& failures, NodeRole& node, Background& background);

    Lock lock() const { return Lock(mutex_); }
    std::mutex& mutex() const noexcept { return mutex_; }

    // With the lock, or before there are threads:
    Engine& engine() noexcept { return engine_; }
    const Engine& engine() const noexcept { return engine_; }
    /// By what ages are measured, Unix milliseconds.
    std::int64_t age_ms() { return age_.at(clock_.read()); }
    AgeClock& age() noexcept { return age_; }
    /// Who takes over a history goes on from `age_ms`, up to when ages were measured there: this machine's
    /// clock may be ahead.
    void begin_age(std::int64_t age_ms);
    /// So that a restart goes on from it, whatever the clock says then.
    RecordChange age_change();
    const IdempotencyRetention& retention() const noexcept { return retention_; }
    void set_retention(const IdempotencyRetention& retention) noexcept { retention_ = retention; }
    /// What follows from events, without a log.
    UnsavedRecords& unsaved() noexcept { return unsaved_; }
    /// Where an event was applied in part, nothing more is written. True where that is so.
    bool stop_if_half_changed();

    std::uint64_t hash_seed() const noexcept { return engine_.hash_seed(); }
    Lsn last_lsn() const;
    IdempotencyRetention idempotency_retention() const;
    DatabaseClock& clock() const noexcept { return clock_; }
    std::int64_t now_ms() const { return clock_.now_ms(); }
    Stats& stats() noexcept { return stats_; }

    // ---- durability

    /// Begins to write events to the log. Before there are threads.
    void begin_log();
    bool has_log() const noexcept { return committer_ != nullptr; }
    /// Null without a log.
    GroupCommitter* committer() const noexcept { return committer_.get(); }
    /// See Executor::commit.
    bool commit();
    Lsn durable_lsn() const noexcept;
    /// Commits all that was applied. Throws StorageError when the log cannot be written.
    void commit_all();
    /// False when the event will never be durable.
    bool wait_durable(Lsn lsn) { return !committer_ || committer_->wait_durable(lsn); }
    /// Throws RequestError when not enough followers have an event in time, or until the deadline, or it was
    /// executed in another generation than this one.
    void wait_acked(Lsn lsn, std::uint64_t executed_in, const Deadline& deadline) const;
    std::optional<std::chrono::milliseconds> ack_timeout() const noexcept;
    /// Nothing is written any more.
    bool has_failed() const noexcept {
        return failures_.is_fatal() || (committer_ && committer_->has_failed());
    }
    /// Why that is so; empty where it is not.
    std::string failure() const;

    /// Executes a mutation of the database's own and waits until it is durable. Throws RequestError, also
    /// where this node is no master any more. `fingerprint`: of a chunk.
    Lsn execute_own(const Mutation& body, const Fingerprint& fingerprint = {});

    /// Applies the next event of another node. With the lock. Throws what Engine::replicate does.
    void replicate(const Event& event);
    /// Frees series that are not part of the state any more. Without the lock.
    void destroy(std::vector<std::unique_ptr<Series>> series) { background_.destroy(std::move(series)); }

    // ---- views

    /// Of who makes a view: from before it is begun until it is complete. Taken before the lock.
    using MakingView = std::unique_lock<std::mutex>;
    MakingView make_view() const { return MakingView(views_mutex_); }
    /// With the lock.
    std::shared_ptr<ViewCollection> begin_view(const MakingView& making);
    /// Without the lock: takes it for moments between which others execute.
    StateView finish_view(const MakingView& making, std::shared_ptr<ViewCollection> collection);
    /// The state as it is now.
    StateView view();

    // ---- idempotency records, which are read while requests are served that need none

    bool has_records() const noexcept { return has_records_.load(std::memory_order_acquire); }
    /// Why they could not be read. Only once they are there.
    const std::string& records_failure() const noexcept { return records_failure_; }
    void set_has_records(const std::string& failure);
    /// Blocks until they are there. False when the database is about to end.
    bool wait_for_records();

    // ---- listeners: see Executor

    int add_listener(std::function<void()> listener);
    void remove_listener(int number);
    void notify();

private:
    void accept(const Event& event, const EventRecords& records) override;

    const DatabaseOptions& options_;
    Storage& storage_;
    Failures& failures_;
    NodeRole& node_;
    Background& background_;
    mutable DatabaseClock clock_;
    mutable std::mutex views_mutex_;  // see make_view
    mutable std::mutex mutex_;
    // Under it:
    Engine engine_;
    AgeClock age_;
    IdempotencyRetention retention_;
    UnsavedRecords unsaved_;

    Stats stats_;
    std::atomic<Lsn> last_whole_lsn_{std::numeric_limits<Lsn>::max()};  // without a log: see durable_lsn
    std::atomic<bool> has_records_{false};
    std::mutex listeners_mutex_;
    // Under it:
    std::condition_variable records_loaded_;
    std::string records_failure_;  // set before has_records_
    std::map<int, std::function<void()>> listeners_;
    int next_listener_ = 0;
    std::unique_ptr<GroupCommitter> committer_;  // null without a log; ends before all that it uses
};

/// What is answered once the log could not be written.
Error log_failed();

/// Throws RequestError where the reply is a refusal.
void throw_if_refused(const Reply& reply);

}  // namespace karma
