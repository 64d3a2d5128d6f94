#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <unordered_set>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "engine/executor.h"
#include "net/access.h"
#include "net/budget.h"
#include "net/event_waits.h"
#include "net/log.h"
#include "net/protocol.h"
#include "net/queue.h"
#include "net/refused_logins.h"
#include "net/reply_writer.h"
#include "net/request_decoder.h"
#include "net/request_pipeline.h"
#include "net/server_options.h"
#include "net/stream_socket.h"
#include "net/subscription.h"
#include "net/task_pools.h"
#include "net/v1_decoder.h"

namespace karma::net {

class Connection;

/// Objects that the connections of a server share, and that outlive them.
struct ServerContext {
    const ServerOptions& options;
    Executor& executor;
    const Access& access;
    Log& log;
    TaskPools& tasks;
    RefusedLogins& refused_logins;
    SubscriptionHost* subscriptions;  // null: no node can follow this one
    Budget& request_memory;
    Budget& reply_memory;
};

/// A connection that was accepted.
struct Accepted {
    StreamSocket::Native socket;
    std::unique_ptr<TlsSession> tls;  // null: in the clear
    Share place;                      // its share of the budget of connections
    bool is_brief = false;  // one of the few beyond the budget: it ends when it is idle for a second
};

/// A thread that serves some of the connections. All functions except `context`, `adopt`, `wake` and
/// `begin_shutdown` are called by that thread alone.
class IoThread {
public:
    explicit IoThread(const ServerContext& server);
    IoThread(const IoThread&) = delete;
    IoThread& operator=(const IoThread&) = delete;
    ~IoThread();

    boost::asio::io_context& context() noexcept { return context_; }
    /// `repair` is called on this thread after memory has ended on it, until it ends without std::bad_alloc:
    /// it begins again what waits for something and could not. Before `start`.
    void set_repair(std::function<void()> repair) { repair_ = std::move(repair); }

    void start();
    /// Serves a new connection. From any thread.
    void adopt(Accepted accepted);
    /// The durable LSN, the acknowledged LSN or the generation has changed, or the log has failed. From any
    /// thread.
    void wake();
    /// Finishes what was received, closes the connections and ends the thread. From any thread.
    void begin_shutdown();
    void join();

    // For the connections of this thread.

    const ServerContext& server() const noexcept { return server_; }
    const PipelineContext& pipelines() const noexcept { return pipelines_; }
    std::unique_ptr<Protocol> new_line_protocol();

    void remove(const std::shared_ptr<Connection>& connection);
    /// Calls `connection->on_durable` once the LSN that is waited for is durable, the log has failed or the
    /// generation of the wait has ended.
    void wait_durable(const ReplyQueue::Wait& wait, std::shared_ptr<Connection> connection);
    /// Calls `connection->on_durable` once enough followers have everything up to the LSN that is waited for
    /// or the generation of the wait has ended, or `connection->on_ack_timeout` when neither is so by the
    /// deadline.
    void wait_acked(const ReplyQueue::Wait& wait, std::shared_ptr<Connection> connection);
    /// Calls `connection->on_records` once the executor has the idempotency records.
    void wait_records(std::shared_ptr<Connection> connection);
    /// Calls `connection->on_event` once the event is durable or the time is up. False when that is so
    /// already.
    bool wait_event(const EventWait& wait, std::shared_ptr<Connection> connection);
    /// Calls `connection->resume` in a later event-loop iteration, one connection in each: so other
    /// connections wait for one busy connection at a time.
    void resume_later(std::shared_ptr<Connection> connection) { paused_.push(std::move(connection)); }
    /// Requests were executed in this event-loop iteration that have to be committed at its end.
    void note_uncommitted() noexcept { uncommitted_ = true; }
    /// Calls `connection->read` at the end of this event-loop iteration.
    void read_later(std::shared_ptr<Connection> connection) { readers_.push_back(std::move(connection)); }

private:
    struct Waiting {
        Lsn lsn = 0;
        std::uint64_t generation = 0;
        std::shared_ptr<Connection> connection;
    };

    struct AwaitingAck {
        Lsn lsn = 0;
        std::uint64_t generation = 0;
        std::chrono::steady_clock::time_point deadline;
        std::shared_ptr<Connection> connection;
    };

    void schedule_tick();
    void tick();
    void release_acked();
    void schedule_ack_timeout();
    void end_ack_waits();
    void on_wake();
    void release_durable();
    void release_ended();
    void note_wait(std::uint64_t generation);
    void release_records();
    /// One event-loop iteration after the other: all that is ready, then one commit for all of it.
    void run();
    bool run_iteration();
    bool wait_for_work();
    void repair();
    void tick_connections();
    void end_iteration();
    void begin_reads();
    void delay_commit();
    void shut_down();
    void end_if_idle();

    const ServerContext server_;
    boost::asio::io_context context_{1};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
    boost::asio::steady_timer tick_timer_;
    bool is_ticking_ = false;  // the timer waits
    boost::asio::steady_timer ack_timer_;
    RequestDecoder decoder_;
    V1Decoder v1_decoder_;
    ReplyWriter writer_;
    Batch batch_;
    bool takes_large_ = false;  // only of who has paused, one in each event-loop iteration
    PipelineContext pipelines_;
    std::vector<std::shared_ptr<Connection>> readers_;
    std::vector<std::shared_ptr<Connection>> reading_now_;  // scratch of begin_reads
    std::unordered_set<std::shared_ptr<Connection>> connections_;
    Queue<std::shared_ptr<Connection>> paused_;
    Queue<Waiting> waiting_;                 // of one generation by LSN
    std::deque<AwaitingAck> awaiting_acks_;  // by deadline
    std::uint64_t generation_ = 0;           // no other one is waited in, ...
    bool has_ended_waits_ = false;           // ... but where this says so
    std::vector<std::shared_ptr<Connection>> awaiting_records_;
    EventWaits event_waits_;
    std::atomic<bool> wake_posted_{false};
    std::atomic<bool> wake_missed_{false};  // there was no memory to post it
    std::function<void()> repair_;
    bool has_to_repair_ = false;  // memory has ended since the last repair
    bool uncommitted_ = false;
    std::size_t waiting_before_ = 0;  // clients that waited at the end of the iterations before, about
    bool shutting_down_ = false;
    std::chrono::steady_clock::time_point shutdown_deadline_;
    std::thread thread_;
};

}  // namespace karma::net
