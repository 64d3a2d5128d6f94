#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

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
    Node(Replicated& database, net::Log& log, NodeOptions options, const Ground& ground = machine_ground());
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;

    /// Stops following, and drops the followers.
    ~Node() override;

    /// `name`: of this node, where the options give it none.
    void start(const std::string& name);
    /// Ends what `start` began, and drops the followers.
    void stop();
    Source& subscriptions() noexcept { return source_; }

    ReplicationFigures figures() const override;
    std::string alarm() const override;
    Epoch promote() override;
    void on_fenced() override;
    reply::DigestsCompared compare_digests(const Deadline& deadline) override;

private:
    class RoleChange;

    void run();
    void fail_over();
    void follow_again();
    bool announce();

    Replicated& database_;
    net::Log& log_;
    const NodeOptions options_;
    const Ground ground_;
    Source source_;
    std::unique_ptr<Follower> follower_;

    std::mutex mutex_;  // of all that follows
    const std::unique_ptr<Condition> changed_ = ground_.runtime.make_condition();
    bool changes_role_ = false;           // one change of roles at a time
    std::atomic<bool> stopping_ = false;  // what waits for another node looks at it without the mutex
    bool master_lost_ = false;
    bool fenced_ = false;
    bool announces_ = false;  // the master that was followed may not know yet that it is none any more
    std::unique_ptr<Thread> thread_;
};

}  // namespace karma::replica
