#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "engine/engine.h"
#include "engine/executor.h"
#include "engine/replicated.h"
#include "engine/replication_control.h"
#include "engine/storage.h"
#include "persist/data_directory.h"
#include "persist/database_clock.h"
#include "persist/exports.h"
#include "persist/group_committer.h"
#include "persist/history_marks.h"
#include "persist/housekeeper.h"
#include "persist/identity.h"
#include "persist/records_files.h"
#include "persist/snapshot_files.h"
#include "persist/snapshot_source.h"
#include "persist/snapshot_store.h"
#include "persist/unsaved_records.h"

namespace karma {

struct ReceivedState;

enum class StorageKind : std::uint8_t { rocksdb, memory };

struct DatabaseOptions {
    std::filesystem::path directory = ".";
    StorageKind storage = StorageKind::rocksdb;
    bool wal = true;        // false: nothing but snapshots survives
    bool wal_fsync = true;  // false: events are handed to the operating system, not synced
    std::uint64_t wal_segment_bytes = 67'108'864;  // 0: no limit
    std::uint32_t wal_batch_size = 1024;           // events in a commit group at most
    std::uint32_t wal_batch_wait_us = 0;           // how long a group that is not full waits for more
    bool restore = true;                           // false: put an existing database aside and start empty
    bool read_only = false;                        // the slave role
    /// Where the storage lies, for a storage of the caller's: a database that finds itself in another place
    /// than the one it was last opened in is a copy (see NodeIdentity). Empty: it never is one.
    std::string place;
    /// Whether the storage was closed in good order when it was last used. A copy of one that was not may
    /// miss events that were acknowledged.
    bool ended_cleanly = true;
    /// A mutation's reply waits until so many followers have it; 0: it does not.
    std::uint32_t replication_min_acks = 0;
    std::uint32_t replication_ack_timeout_ms = 1000;
    std::optional<Lsn> restore_from;  // begin with no newer snapshot than this; 0: with none
    unsigned snapshots_retained = 5;  // for each series
    /// A snapshot of everything that often, if something changed; 0: never.
    std::uint32_t snapshot_interval_s = 3600;
    std::uint64_t event_retention_s = 604'800;  // events older than that are dropped; 0: none are
    std::uint64_t event_retention_bytes = 0;    // the oldest are dropped while the log is longer; 0: none are
    IdempotencyRetention idempotency;
    std::size_t series_max = 0;              // a request that would make more is refused; 0: no limit
    std::size_t streams_max = 0;             // the same of ingest streams: see IngestStreams::weight
    unsigned storage_open_files = 256;       // that RocksDB holds open of its tables
    std::function<std::int64_t()> clock_ms;  // Unix milliseconds; empty: the machine's clock
    /// Milliseconds that never step; empty: `clock_ms` where that is given, or else the machine's.
    std::function<std::int64_t()> steady_ms;
    std::function<std::uint64_t()> random;  // 64 bits that nobody can foresee; empty: the machine's
    /// False: no threads. Whoever waits for an event to be durable commits it, and `keep_house` is to be
    /// called now and then.
    bool threads = true;
    /// Asked now and then while the state is restored: true ends `open` with a RequestError, with nothing
    /// changed but what a crash would have left. Empty: never.
    std::function<bool()> gives_up;
    /// Told of what failed in the background, from another thread.
    std::function<void(const std::string& what, const std::string& why)> on_failure;
    /// Told of what the operator should know, from another thread.
    std::function<void(const std::string& event, const std::string& message)> on_warning;
    /// For the statistics: lines of the program's log that were dropped. Quick, from any thread; empty: none.
    std::function<std::uint64_t()> log_lines_dropped;
};

/// A counter database: the engine, its storage and the thread that commits. This is what a program embeds
/// that wants counters without a server. Thread-safe.
class Database final : public Executor, public Replicated, private EventSink {
public:
    /// Opens or creates a database and restores its state. Throws StorageError or CorruptionError with a
    /// message for the operator.
    static std::unique_ptr<Database> open(const DatabaseOptions& options);

    /// The same on a storage of the caller's, which outlives the database; options.directory is not used.
    static std::unique_ptr<Database> open(const DatabaseOptions& options, Storage& storage);

    /// Commits what was accepted.
    ~Database() override;

    void execute(std::span<const Request> requests, std::span<Outcome> outcomes) override;
    bool commit() override;
    bool has_records() const noexcept override { return has_records_.load(std::memory_order_acquire); }
    Stats& stats() noexcept override { return stats_; }
    bool accepts_writes() const noexcept override { return role() != Role::slave; }
    std::optional<std::chrono::milliseconds> ack_timeout() const noexcept override;
    Lsn acked_lsn() const noexcept override { return acked_lsn_.load(std::memory_order_acquire); }
    Lsn durable_lsn() const noexcept override;
    bool has_failed() const noexcept override;
    int add_durable_listener(std::function<void()> listener) override;
    void remove_durable_listener(int number) override;

    // What replication needs: see Replicated.
    bool has_log() const noexcept override { return committer_ != nullptr; }
    Role role() const noexcept override { return role_.load(std::memory_order_acquire); }
    std::int64_t now_ms() const override { return clock_.now_ms(); }
    Epochs epochs() const override;
    bool is_empty() const override;
    bool syncs() const noexcept override;
    DatabaseId database_id() const override;
    NodeId node_id() const noexcept override { return identity_.node_id(); }
    Epoch known_epoch() const override;
    HistoryMark mark_at(Lsn lsn) const override;
    Lsn first_kept_lsn() const override;
    std::uint64_t generation() const noexcept override { return generation_.load(std::memory_order_acquire); }
    void read_log(Lsn from, const std::function<bool(const EventGroup&)>& visit) const override;
    std::unique_ptr<LogPin> pin_log(Lsn lsn) override;
    std::unique_ptr<StateReader> read_state(LogPin& pin) override;
    void set_acked_lsn(Lsn lsn, std::uint64_t generation) override;
    std::optional<std::string> read_note(std::string_view name) const override;
    void write_note(std::string_view name, std::optional<std::string> text) override;
    bool wait_until_ready() override;
    std::optional<StateView> replicate(std::string_view group, std::optional<Lsn> view_at) override;
    void replicate(const Event& event) override;
    void commit_replicated() override;
    std::unique_ptr<StateWriter> write_state(const IdempotencyRetention& retention) override;
    void adopt_database_id(const DatabaseId& id) override;
    IdempotencyRetention idempotency_retention() const override;
    void use_idempotency_retention(const IdempotencyRetention& retention) override;
    void hold_log(bool held) override { log_held_.store(held); }
    bool is_order_used(const std::string& order) const override;
    std::string unused_order() const override;
    std::unique_ptr<ForeignStateWriter> write_foreign_state() override;
    Epoch draw_epoch() const override;
    Epoch promote(std::optional<Epoch> drawn = std::nullopt) override;
    bool fence(const Epoch& named, const DatabaseId& database) override;
    void demote() override;

    /// Who replicates, for requests about it and for statistics. Lives until the last request has ended that
    /// began before this was called with null.
    void set_replication(ReplicationControl* control) noexcept { control_ = control; }

    /// Executes one request to its end: runs its task and waits until what the reply shows is durable. A
    /// refused request gives an Error, never an exception.
    Reply call(const Request& request);

    /// Adds to a counter; `day` defaults to the current UTC day. Durable when it returns. Throws
    /// RequestError.
    void increment(std::string_view series, std::uint64_t key, std::uint64_t value = 1, Day day = today);

    /// The sum of a counter over all days or a range; 0 where there is no such key. Throws RequestError.
    std::uint64_t sum(std::string_view series, std::uint64_t key, const std::optional<DayRange>& range = {});

    /// Stores a snapshot of all series. Throws RequestError, when the deadline comes first with nothing
    /// stored.
    void save_snapshot(const Deadline& deadline = NoDeadline());
    /// The same, unless the latest one holds all that there is. True when it was stored.
    bool save_snapshot_if_changed(const Deadline& deadline = NoDeadline());

    /// Drops events and snapshots that need not be kept any longer, as the options say, but for snapshots
    /// that are being read. Happens by itself every some seconds.
    void apply_retention();

    /// The process is stopping: from here on no background maintenance begins, and what is under way gives up
    /// what it can do later as well. Requests are executed as ever. From any thread.
    void wind_down();

    /// What has to be done some time. Happens by itself about every second where there are threads.
    void keep_house();

    StateView view() const override;
    Digest digest() const;
    Lsn last_lsn() const override;

    std::uint64_t hash_seed() const noexcept { return engine_.hash_seed(); }
    /// Bytes of memory that the idempotency index takes, about.
    std::size_t idempotency_bytes() const;

    /// Puts a series into an empty engine as it was at a point of the past, not after `last_lsn`. Without
    /// the lock; throws RequestError where what is kept does not reach back so far.
    std::optional<Error> rebuild_series(Engine& past, std::string_view series, const HistoryPoint& point,
                                        Lsn last_lsn, const Deadline& deadline);

    /// Why nothing is written any more (see has_failed); empty where that is not so.
    std::string failure() const;

    /// What `open` found, for the operator: "restored 3 series, ...".
    const std::string& restore_summary() const noexcept { return restore_summary_; }
    /// Damage that `open` has found and got round, without loss.
    const std::vector<std::string>& restore_warnings() const noexcept { return restore_warnings_; }

    /// What the operator has to know where this is a copy of another node's database; empty where it is none.
    const std::string& copy_warning() const noexcept { return copy_warning_; }

private:
    Database(const DatabaseOptions& options, std::unique_ptr<DataDirectory> directory,
             std::unique_ptr<Storage> owned, Storage* storage);

    void accept(const Event& event, const EventRecords& records) override;
    void restore();
    void begin_role();
    void begin_identity();
    void begin_own_epoch(const char* why);
    void end_cleanly() noexcept;
    void end_mastership();
    Epoch next_epoch() const;
    Lsn start_epoch(Epoch& epoch);
    Epoch known_epoch_locked() const;
    bool is_empty_locked() const;
    bool holds_no_database() const;
    void take_database_id(const DatabaseId& id, std::vector<RecordChange>& changes);
    void discard_interrupted_state();
    std::filesystem::path install_state(ReceivedState& received, const Replacement& replacement);
    /// What is held while a state takes the place of another one, in storage and in memory.
    struct Replacing {
        const SnapshotStore::Saving& saving;
        const RecordsFiles::Excluding& no_file;
        const SnapshotStore::Excluding& excluding;
    };
    void replace_stored(const Replacing& held, const ReceivedState& received, const StateView& view,
                        const Replacement& replacement);
    std::filesystem::path move_aside(const Replacement& replacement) const;
    /// Keeps the marks of events that are about to be removed: those below `end`.
    void mark_erased(Lsn end);
    HistoryMarks marks_up_to(Lsn lsn) const;
    bool holds_log() const noexcept { return log_held_ || role() == Role::fenced; }
    void check_installed() const;
    /// With the mutex held: nothing that was promised to clients before is kept after.
    void begin_generation();
    Lsn first_pinned_lsn() const;
    std::unique_ptr<Task> promote_later(bool is_forced);
    std::unique_ptr<Task> promise_later(const control::Promise& asked);
    std::unique_ptr<Task> forget_follower_later(const control::ForgetFollower& asked);
    std::unique_ptr<Task> compare_digests_later();
    std::unique_ptr<Task> find_position_later(std::optional<Lsn> lsn);
    std::unique_ptr<Task> fence_later(const control::Fence& named);
    std::string replication_alarm() const;
    ReplicationFigures replication_figures() const;
    static constexpr std::int64_t retention_interval_ms = 10'000;
    void begin_clocks();
    void follow_clock();
    void check_storage();
    void check_directory();
    std::string write_refusal() const;
    void store_age();
    RecordChange age_change();
    void find_order();
    void note_order(const Event& event);
    void load_records();
    void set_has_records(const std::string& failure);
    /// Of who makes a view: from before it is begun until it is complete. Taken before `mutex_`.
    using MakingView = std::unique_lock<std::mutex>;
    MakingView make_view() const { return MakingView(views_mutex_); }
    /// The caller holds `mutex_`.
    std::shared_ptr<ViewCollection> begin_view(const MakingView& making) const;
    /// The caller does not hold `mutex_`, but for moments between which others execute.
    StateView finish_view(const MakingView& making, std::shared_ptr<ViewCollection> collection) const;
    /// With `mutex_`: where an event was applied in part, nothing more is written. Says whether that is so.
    bool stop_if_half_changed();
    void replicate_locked(const Event& event);
    Outcome not_executed();
    void forget_records();
    /// Idempotency records that were forgotten: all below an LSN, and how many since the start.
    struct Forgotten {
        Lsn first_record_lsn = 0;
        std::uint64_t count = 0;
    };
    bool is_worth_erasing(const Forgotten& now, std::uint64_t live) const;
    void save_when_due();
    Reply try_to_store_snapshot(const std::optional<std::string>& series, const Deadline& deadline);
    void save_all_there_is(const SnapshotStore::Saving& saving, StateView view, UnsavedRecords::Batch unsaved,
                           const Deadline& deadline);
    void set_snapshot_failure(const std::string& failure);
    std::string snapshot_failure() const;
    std::int64_t retention_now_ms() const;
    Lsn first_retained_lsn() const;
    bool is_worth_erasing(Lsn keep_from) const;
    bool has_verified_base();
    Reply end_export(std::string_view id);
    /// Where files without a name are made.
    std::filesystem::path directory_for_files() const;
    void run_in_background(const char* what, const std::function<void()>& work) const;
    void notify();
    void destroy(std::vector<std::unique_ptr<Series>> series);
    void wait_for_records();

    Outcome execute_one(const Request& request, const PreparedMutation* prepared, std::int64_t now_ms);
    std::optional<Error> refuse_write(const Request& request) const;
    void note_replicas(const Request& request, Outcome& outcome) const;
    std::string fenced_text() const;
    Outcome save_snapshot_later(std::optional<std::string_view> series);
    Reply store_snapshot(const std::optional<std::string>& series, const Deadline& deadline);
    Outcome read_entries_later(const query::LogEntries& query);
    // For tasks about the files of snapshots:
    std::optional<SnapshotFile> find_snapshot(const std::string& file) const;
    /// A file that somebody has put into the data directory; empty where there is none.
    std::filesystem::path file_in_directory(const std::string& file) const;
    std::string new_load_id(const std::string& file);
    /// Executes a mutation of the database's own. Throws RequestError.
    Lsn execute_own(const Mutation& body);
    bool wait_durable(Lsn lsn) { return !committer_ || committer_->wait_durable(lsn); }
    /// Throws RequestError when not enough followers have an event in time, or until the deadline, or it was
    /// executed in another generation than this one.
    void wait_acked(Lsn lsn, std::uint64_t executed_in, const Deadline& deadline) const;
    std::vector<std::string> open_loads() const;
    void abort_loads(const std::vector<std::string>& ids);
    template <typename Query>
    Outcome ask_past(const Query& query, std::int64_t now_ms);
    reply::Health health() const;
    // With the lock: what is known at once. The task that follows takes the rest from the snapshots.
    Outcome replication_status_later(const query::Page& page) const;
    Outcome snapshot_names_later(const query::Page& page) const;
    Outcome snapshot_info_later(const query::Page& page) const;
    template <typename ReplyOfMetrics>
    Outcome metrics_later();

    friend class PinOfLog;
    friend class FenceTask;
    friend class ReplicationTask;
    friend class SnapshotTask;
    friend class EntriesTask;
    friend class EventsTask;
    friend class VerifyTask;
    friend class LoadTask;
    friend class FetchTask;
    friend class FetchRecordsTask;
    friend class BeginExportTask;
    friend class FetchExportTask;

    DatabaseOptions options_;
    mutable DatabaseClock clock_;
    AgeClock age_;  // under the mutex
    std::unique_ptr<DataDirectory> directory_;
    std::unique_ptr<Storage> owned_storage_;
    Storage& storage_;
    mutable std::mutex views_mutex_;  // see make_view
    mutable std::mutex mutex_;
    mutable Engine engine_;  // under the mutex
    SnapshotStore snapshots_;
    mutable CurrentCatalog catalog_;  // of the snapshots
    TreeFiles tree_files_;
    RecordsFiles records_files_;
    Exports exports_;
    std::atomic<std::uint64_t> loads_{0};  // begun since the start
    std::string restore_summary_;
    std::string discarded_;  // before it, for the summary
    std::vector<std::string> restore_warnings_;
    Stats stats_;
    std::int64_t opened_ms_;                     // monotonic
    std::unique_ptr<GroupCommitter> committer_;  // null without a WAL

    UnsavedRecords unsaved_;  // without a WAL; under the mutex
    mutable std::mutex failure_mutex_;
    std::string directory_loss_;    // why what is written would not be found again; under failure_mutex_
    std::string write_refusal_;     // why no file can be made; under failure_mutex_
    std::string snapshot_failure_;  // why the last snapshot could not be stored; under failure_mutex_

    std::atomic<Role> role_{Role::master};
    NodeIdentity identity_;            // changed at the start only
    DatabaseId database_id_;           // may be not known; under the mutex
    std::optional<Epoch> told_epoch_;  // the latest epoch that others have named; under the mutex
    std::string copy_warning_;
    std::atomic<bool> log_held_{false};
    std::mutex fence_mutex_;  // of who changes told_epoch_ or what is stored of it; taken before mutex_
    mutable std::mutex marks_mutex_;
    HistoryMarks marks_;             // of the events that are not in the log any more
    std::mutex acks_mutex_;          // of who changes acked_lsn_ or generation_; taken after mutex_
    std::atomic<Lsn> acked_lsn_{0};  // in this generation
    std::atomic<std::uint64_t> generation_{0};
    std::atomic<bool> is_directory_lost_{false};  // what is written would not be found again
    std::atomic<bool> is_half_changed_{false};    // what is in memory is no state that the log gives
    std::atomic<Lsn> last_whole_lsn_{
        std::numeric_limits<Lsn>::max()};         // without a log: the last event before
    std::atomic<bool> is_half_installed_{false};  // what is stored is neither this state nor another one
    mutable std::mutex pins_mutex_;
    std::multiset<Lsn> pins_;  // LSNs above which the log is kept
    std::atomic<ReplicationControl*> control_{nullptr};

    std::atomic<bool> has_records_{false};
    std::atomic<bool> stopping_{false};         // nobody uses it any more
    std::atomic<bool> is_winding_down_{false};  // see wind_down
    std::mutex listeners_mutex_;
    std::condition_variable records_loaded_;
    std::string records_failure_;  // why they could not be read; set before has_records_
    std::map<int, std::function<void()>> listeners_;
    int next_listener_ = 0;
    /// Who reads a state that is sent holds this too: no rows of idempotency records are erased then.
    const std::shared_ptr<const void> records_kept_ = std::make_shared<char>();
    mutable std::mutex retention_mutex_;  // of who drops what is old
    // Under it:
    std::optional<Forgotten> erased_;  // what was forgotten when rows were removed last
    std::int64_t erased_ms_ = 0;       // and when that was, by the monotonic clock
    // Of the thread of the background maintenance, by the monotonic clock:
    std::int64_t last_snapshot_ms_ = 0;
    std::int64_t last_retention_ms_ = 0;
    std::int64_t last_age_ms_ = 0;
    std::unique_ptr<Housekeeper> housekeeper_;  // ends before all that it uses; null without threads
};

}  // namespace karma
