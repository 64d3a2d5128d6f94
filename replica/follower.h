#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "engine/replicated.h"
#include "engine/reply.h"
#include "net/log.h"
#include "replica/counted_followers.h"
#include "replica/follower_context.h"
#include "replica/follower_options.h"
#include "replica/follower_status.h"
#include "replica/peers.h"

namespace karma::replica {

struct AcceptedConnection;
class FollowerStream;
class Karma1Polling;

/// Follows a master, from a thread of its own: connects, receives the state if necessary, then events, and
/// begins again after any failure. Thread-safe.
class Follower {
public:
    /// `database` and `log` outlive it. `on_master_lost` is called from its thread, again and again, while
    /// the source and the master itself have been silent for the failover timeout and this node was in sync
    /// until then.
    /// `counted` stores the list of the master's counted followers, `peers` the nodes that the source names;
    /// both outlive it, and null stores nothing.
    Follower(Replicated& database, net::Log& log, FollowerOptions options,
             std::function<void()> on_master_lost, const Environment& environment = machine_environment(),
             CountedFollowers* counted = nullptr, Peers* peers = nullptr);
    Follower(const Follower&) = delete;
    Follower& operator=(const Follower&) = delete;
    ~Follower();

    /// Begins to follow, or begins again after `stop`.
    void start();
    /// Applies what has arrived, then ends. Returns when nothing more will be applied.
    void stop();

    /// The address of the master.
    std::string source() const { return context_.source(); }
    /// Another node has named a later epoch than the source's: ends the stream, and waits briefly until
    /// nothing more is applied from it. It acknowledges nothing there any more in any case.
    void leave_overtaken_source();
    /// Compares with the master. Throws RequestError.
    reply::DigestsCompared compare(const Deadline& deadline);

    /// What is known of the source, and how far this node is.
    const FollowerStatus& status() const noexcept { return status_; }

private:
    /// Lets other threads reach a stream while it lives.
    class Reachable;

    void run();
    void follow();
    void stream(AcceptedConnection accepted);
    void poll();
    void on_lost(const std::string& why);
    void on_refused(const SourceRefused& refused);
    void wait(std::chrono::milliseconds time);
    std::chrono::milliseconds retry_limit() const;
    Clock::time_point now() const noexcept { return context_.now(); }

    const FollowerOptions options_;
    const std::function<void()> on_master_lost_;
    std::atomic<bool> stopping_{false};
    FollowerStatus status_;
    const FollowerContext context_;

    // Of the thread:
    std::unique_ptr<Karma1Polling> polling_;  // once the source is known to be a Karma 1.0
    std::string last_error_;                  // as it was logged

    std::mutex mutex_;  // of all that follows
    const std::unique_ptr<Condition> changed_ = context_.environment.runtime.make_condition();
    FollowerStream* stream_ = nullptr;  // the one that there is now
    std::unique_ptr<Thread> thread_;
};

}  // namespace karma::replica
