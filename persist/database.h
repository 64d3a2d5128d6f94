#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "engine/executor.h"
#include "engine/replicated.h"
#include "engine/replication_control.h"
#include "engine/storage.h"
#include "persist/database_options.h"

namespace karma {

struct DatabaseParts;

/// A counter database: the engine, its storage and the thread that commits. This is what a program embeds
/// that wants counters without a server. Its parts (persist/database/) do the work. Thread-safe.
class Database final : public Executor, public Replicated {
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
    bool has_records() const noexcept override;
    Stats& stats() noexcept override;
    bool accepts_writes() const noexcept override;
    std::optional<std::chrono::milliseconds> ack_timeout() const noexcept override;
    Lsn acked_lsn() const noexcept override;
    Lsn durable_lsn() const noexcept override;
    bool has_failed() const noexcept override;
    int add_durable_listener(std::function<void()> listener) override;
    void remove_durable_listener(int number) override;

    // What replication needs: see Replicated.
    bool has_log() const noexcept override;
    Role role() const noexcept override;
    std::int64_t now_ms() const override;
    Epochs epochs() const override;
    bool is_empty() const override;
    bool syncs() const noexcept override;
    DatabaseId database_id() const override;
    NodeId node_id() const noexcept override;
    Epoch known_epoch() const override;
    HistoryMark mark_at(Lsn lsn) const override;
    Lsn first_kept_lsn() const override;
    std::uint64_t generation() const noexcept override;
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
    void hold_log(bool held) override;
    bool is_order_used(const std::string& order) const override;
    std::string unused_order() const override;
    std::unique_ptr<ForeignStateWriter> write_foreign_state() override;
    Epoch draw_epoch() const override;
    Epoch promote(std::optional<Epoch> drawn = std::nullopt) override;
    bool fence(const Epoch& named, const DatabaseId& database) override;
    void demote() override;

    /// Who replicates, for requests about it and for statistics. Lives until the last request has ended that
    /// began before this was called with null.
    void set_replication(ReplicationControl* control) noexcept;

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
    void maintain();

    StateView view() const override;
    Digest digest() const;
    Lsn last_lsn() const override;

    std::uint64_t hash_seed() const noexcept;
    /// Bytes of memory that the idempotency index takes, about.
    std::size_t idempotency_bytes() const;

    /// Why nothing is written any more (see has_failed); empty where that is not so.
    std::string failure() const;

    /// What `open` found, for the operator: "restored 3 series, ...".
    const std::string& restore_summary() const noexcept;
    /// Damage that `open` has found and got round, without loss.
    const std::vector<std::string>& restore_warnings() const noexcept;

    /// What the operator has to know where this is a copy of another node's database; empty where it is none.
    const std::string& copy_warning() const noexcept;

private:
    explicit Database(std::unique_ptr<DatabaseParts> parts);

    std::unique_ptr<DatabaseParts> parts_;
};

}  // namespace karma
