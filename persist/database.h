#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "engine/engine.h"
#include "engine/executor.h"
#include "engine/storage.h"
#include "persist/data_directory.h"
#include "persist/group_committer.h"
#include "persist/housekeeper.h"
#include "persist/snapshot_store.h"

namespace karma {

enum class StorageKind : std::uint8_t { rocksdb, memory };

struct DatabaseOptions {
    std::filesystem::path directory = ".";
    StorageKind storage = StorageKind::rocksdb;
    bool wal = true;        // false: nothing but snapshots survives
    bool wal_fsync = true;  // false: events are handed to the operating system, not synced
    std::uint64_t wal_segment_bytes = 67'108'864;
    std::uint32_t wal_batch_size = 1024;  // events in a commit group at most
    std::uint32_t wal_batch_wait_us = 0;  // how long a group that is not full waits for more
    bool restore = true;                  // false: put an existing database aside and start empty
    bool read_only = false;               // the slave role
    unsigned snapshots_retained = 5;      // for each series
    IdempotencyRetention idempotency;
    std::function<std::int64_t()> clock_ms;  // Unix milliseconds; empty: the machine's clock
};

/// A counter database: the engine, its storage and the thread that commits. This is what a program embeds
/// that wants counters without a server. Thread-safe.
class Database final : public Executor, private EventSink {
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
    bool accepts_writes() const noexcept override { return !options_.read_only; }
    Lsn durable_lsn() const noexcept override;
    bool has_failed() const noexcept override;
    int add_durable_listener(std::function<void()> listener) override;
    void remove_durable_listener(int number) override;

    /// Executes one request to its end: runs its task and waits until what the reply shows is durable. A
    /// refused request gives an Error, never an exception.
    Reply call(const Request& request);

    /// Adds to a counter; `day` defaults to the current UTC day. Durable when it returns. Throws
    /// RequestError.
    void increment(std::string_view series, std::uint64_t key, std::uint64_t value = 1, Day day = today);

    /// The sum of a counter over all days or a range; 0 where there is no such key. Throws RequestError.
    std::uint64_t sum(std::string_view series, std::uint64_t key, const std::optional<DayRange>& range = {});

    /// Stores a snapshot of all series.
    void save_snapshot();

    StateView view() const;
    Digest digest() const;
    Lsn last_lsn() const;

    /// What `open` found, for the operator: "restored 3 series, ...".
    const std::string& restore_summary() const noexcept { return restore_summary_; }

private:
    Database(const DatabaseOptions& options, std::unique_ptr<DataDirectory> directory,
             std::unique_ptr<Storage> owned, Storage* storage);

    void accept(const Event& event, const EventRecords& records) override;
    /// Keeps what follows from an event for the next snapshot, where there is no log.
    void keep_records(const Event& event, const EventRecords& records);
    std::vector<RecordChange> take_unsaved();
    void restore();
    void load_records();
    void set_has_records(const std::string& failure);
    void keep_house();
    void notify();
    void wait_for_records();

    Outcome execute_one(const Request& request, const PreparedMutation* prepared, std::int64_t now_ms);
    std::optional<Error> refuse_write(const Request& request) const;
    Outcome save_snapshot_later(std::optional<std::string_view> series);
    Outcome read_entries_later(const query::LogEntries& query);
    reply::Health health() const;
    reply::ReplicationStatus replication_status() const;
    reply::SnapshotInfo snapshot_info() const;
    std::vector<Metric> metrics() const;
    std::int64_t now_ms() const { return options_.clock_ms(); }

    friend class SnapshotTask;
    friend class EntriesTask;
    friend class VerifyTask;

    DatabaseOptions options_;
    std::unique_ptr<DataDirectory> directory_;
    std::unique_ptr<Storage> owned_storage_;
    Storage& storage_;
    mutable std::mutex mutex_;
    Engine engine_;  // under the mutex
    SnapshotStore snapshots_;
    std::string restore_summary_;
    Stats stats_;
    std::int64_t opened_ms_;
    std::unique_ptr<GroupCommitter> committer_;  // null without a WAL

    // Without a WAL: what the next snapshot has to store; under the mutex.
    struct UnsavedRecords {
        Lsn last_lsn = 0;
        std::uint32_t count = 0;
        std::string bytes;
    };
    std::deque<UnsavedRecords> unsaved_records_;
    std::vector<RecordChange> unsaved_;

    std::atomic<bool> has_records_{false};
    std::atomic<bool> stopping_{false};
    std::mutex listeners_mutex_;
    std::condition_variable records_loaded_;
    std::string records_failure_;  // why they could not be read; set before has_records_
    std::map<int, std::function<void()>> listeners_;
    int next_listener_ = 0;
    Lsn erased_records_below_ = 0;              // of the housekeeper's thread
    std::unique_ptr<Housekeeper> housekeeper_;  // ends before all that it uses
};

}  // namespace karma
