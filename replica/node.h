#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "engine/replicated.h"
#include "engine/replication_control.h"
#include "net/log.h"
#include "replica/follower.h"
#include "replica/source.h"

namespace karma::replica {

struct NodeOptions {
    SourceOptions source;
    std::optional<FollowerOptions> follower;  // none: this node follows nobody
};

/// A database as a node among others: serves followers, follows a master, and goes from one to the other.
/// Thread-safe.
class Node final : public ReplicationControl {
public:
    /// `database` and `log` outlive it.
    Node(Replicated& database, net::Log& log, NodeOptions options);
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;

    /// Stops following, and drops the followers.
    ~Node() override;

    /// `name`: of this node, where the options give it none.
    void start(const std::string& name);
    /// Ends what `start` began, and drops the followers.
    void stop();
    net::SubscriptionHost& subscriptions() noexcept { return source_; }

    ReplicationFigures figures() const override;
    std::string alarm() const override;
    Epoch promote() override;
    void on_fenced() override;
    reply::DigestsCompared compare_digests(const Deadline& deadline) override;

private:
    void run();
    void fail_over();
    void follow_again();
    bool announce();

    Replicated& database_;
    net::Log& log_;
    const NodeOptions options_;
    Source source_;
    std::unique_ptr<Follower> follower_;

    std::mutex role_mutex_;  // one change of roles at a time

    std::mutex mutex_;  // of all that follows
    std::condition_variable changed_;
    std::atomic<bool> stopping_ = false;  // what waits for another node looks at it without the mutex
    bool master_lost_ = false;
    bool fenced_ = false;
    bool announces_ = false;  // the master that was followed may not know yet that it is none any more
    std::thread thread_;
};

}  // namespace karma::replica
