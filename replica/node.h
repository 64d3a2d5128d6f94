#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/replicated.h"
#include "engine/replication_control.h"
#include "net/log.h"
#include "replica/announcer.h"
#include "replica/election.h"
#include "replica/follower.h"
#include "replica/peers.h"
#include "replica/source.h"

namespace karma::replica {

/// docs/replication.md describes each of them.
struct NodeOptions {
    SourceOptions source;
    std::optional<FollowerOptions> follower;  // none: this node follows nobody
    std::string peer_token;                   // for other nodes that are asked or told something; empty: none
    /// The node promotes itself without the promises of nodes that do not answer, though the master may be
    /// alive and acknowledge writes.
    bool failover_unsafe = false;
};

/// A database as a node of a cluster: serves followers, follows a master, and changes its role. Thread-safe.
class Node final : public ReplicationControl {
public:
    /// `database` and `log` outlive it.
    Node(Replicated& database, net::Log& log, NodeOptions options,
         const Environment& environment = machine_environment());
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;

    /// Stops following, and drops the followers.
    ~Node() override;

    /// `name`: of this node, if the options have none; `port`: on which other nodes can connect to it.
    void start(const std::string& name, std::uint16_t port = 0);
    /// Ends what `start` began, and drops the followers.
    void stop();
    Source& subscriptions() noexcept { return source_; }

    /// The last description that the source sent of itself; nothing if it sent none, or there is no source.
    std::optional<Life> heard() const;
    ReplicationStatistics statistics() const override;
    std::string alarm() const override;
    reply::Promoted promote(bool is_forced = false) override;
    reply::PromiseAnswer promise(const control::Promise& asked) override;
    reply::FollowerForgotten forget_follower(NodeId node, const std::string& name) override;
    void on_fenced() override;
    void note_announcement(const control::Fence& named) override;
    reply::DigestsCompared compare_digests(const Deadline& deadline) override;

private:
    class RoleChange;

    void run();
    void fail_over();
    void follow_again();
    SelfDescription describe_self() const;
    /// This node, and the nodes from it up to the master.
    std::vector<NodeName> chain() const;
    /// The caller prevents other changes of the role. Throws RequestError, and StorageError.
    reply::Promoted become_master(Ballot ballot);
    void check_may_be_promoted(Ballot ballot) const;
    /// For a node with a follower.
    Candidate candidate();
    void set_failover_alarm(const std::string& why);
    /// Throws RequestError if it is another database.
    void check_is_of_this_database(const DatabaseId& database) const;
    std::string why_no_promise(const control::Promise& asked) const;

    Replicated& database_;
    net::Log& log_;
    const NodeOptions options_;
    const Environment environment_;
    Peers peers_;
    Announcer announcer_;
    Source source_;
    std::unique_ptr<Follower> follower_;

    mutable std::mutex mutex_;  // of all that follows
    const std::unique_ptr<Condition> changed_ = environment_.runtime.make_condition();
    bool changes_role_ = false;           // one change of roles at a time
    std::atomic<bool> stopping_ = false;  // what waits for another node looks at it without the mutex
    bool master_lost_ = false;
    bool fenced_ = false;
    std::string name_;
    std::mutex promise_mutex_;    // one promise is made at a time
    std::string failover_alarm_;  // why this node has not taken the place of a master that it does not hear
    std::unique_ptr<Thread> thread_;
};

}  // namespace karma::replica
