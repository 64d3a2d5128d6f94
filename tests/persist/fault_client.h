#pragma once

#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "persist/database.h"
#include "persist/rocksdb_storage.h"
#include "tests/persist/faulty_file_system.h"

namespace karma::test {

/// A mutation that a client sends, with all that it is made of.
struct Order {
    enum class Kind : std::uint8_t {
        increment,
        decrement,
        batch_add,
        batch_set,
        reset,
        reset_series,
        delete_range,
        drop,
        checkpoint,
        begin_stream,
        chunk,
        commit_stream,
        abort_stream,
        prune,
        prune_streams,
    };
    Kind kind = Kind::increment;
    std::string series;
    std::string stream;
    std::string idempotency_key;  // empty: none
    std::vector<mutation::Item> items;
    std::uint64_t number = 0;
    std::int64_t time_ms = 0;  // when it was executed

    Mutation body() const;
};

/// A database on a disk that can fail.
class Machine {
public:
    explicit Machine(std::shared_ptr<FaultyFileSystem> disk) : disk_(std::move(disk)), env_(env_on(disk_)) {}
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;
    ~Machine() { close(); }

    /// Throws what Database::open throws.
    Database& open(const DatabaseOptions& options);
    void close();

    FaultyFileSystem& disk() { return *disk_; }
    /// Null while it is closed, and while it is opened.
    Database* database() { return database_; }

private:
    std::shared_ptr<FaultyFileSystem> disk_;
    std::unique_ptr<rocksdb::Env> env_;
    std::unique_ptr<RocksdbStorage> storage_;
    std::unique_ptr<Database> owned_;
    std::atomic<Database*> database_{nullptr};
};

/// The only client of a database: sends mutations at random, and knows what the state must be. Its model is
/// an engine that executes the same.
class FaultClient {
public:
    explicit FaultClient(std::uint64_t seed);

    /// Options at random of a database whose time is the client's.
    DatabaseOptions options();

    /// Sends at random, with snapshots, retention and questions between, until it has done so many steps or
    /// the database fails. Every reply is checked.
    void work(Database& database, std::size_t steps);

    /// Checks a database that has failed: it says so and acknowledges nothing.
    void check_failed(Database& database);

    /// Checks a database after a restart: what was acknowledged up to `acked` is there, what is there beyond
    /// it is a beginning of what was sent, and everything as it must be. From then on that is the state.
    void check_restarted(Database& database, Lsn acked);

    /// Sends again what had an idempotency key, newest first: what is in the state is repeated, what is not
    /// is executed.
    void send_again(Database& database);

    /// The last event that is known to have been acknowledged.
    Lsn acked() const noexcept { return acked_.load(); }
    Lsn last_lsn() const { return model_->last_lsn(); }
    Digest digest() const { return model_->view().digest(NoDeadline()); }
    /// The state is what is acknowledged: nothing is under way.
    std::mt19937_64& random() { return random_; }

private:
    Order some_order();
    /// What the model answers, and whether that was an event.
    std::pair<Outcome, bool> execute_in_model(const Order& order);
    void send(Database& database, std::size_t count);
    bool send_one(Database& database, const Order& order, Deduplication expected);
    void ask(Database& database);
    void do_housework(Database& database);
    void forget_after(Lsn lsn);

    std::mt19937_64 random_;
    std::atomic<std::int64_t> now_ms_{1'780'000'000'000};
    NullSink sink_;
    std::unique_ptr<Engine> model_;
    Preparer preparer_;
    std::vector<std::pair<Lsn, Order>> accepted_;  // in order, each an event
    std::vector<Order> lost_;                      // accepted and not acknowledged, and gone
    std::atomic<Lsn> acked_{0};
    std::uint64_t names_ = 0;
};

}  // namespace karma::test
