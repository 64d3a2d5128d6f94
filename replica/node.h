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
#include "replica/follower.h"
#include "replica/peers.h"
#include "replica/promises.h"
#include "replica/source.h"

namespace karma::replica {

/// docs/replication.md describes what each does.
struct NodeOptions {
    SourceOptions source;
    std::optional<FollowerOptions> follower;  // none: this node follows nobody
    std::string peer_token;                   // for other nodes that are asked or told something; empty: none
    /// Promote itself without the promises of others that do not answer, in the place of a master that may
    /// live and acknowledge writes.
    bool failover_unsafe = false;
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

    /// `name`: of this node, where the options give it none; `port`: on which others can ask it.
    void start(const std::string& name, std::uint16_t port = 0);
    /// Ends what `start` began, and drops the followers.
    void stop();
    Source& subscriptions() noexcept { return source_; }

    /// What the source said last of itself; nothing where it said nothing, or there is none.
    std::optional<Life> heard() const;
    ReplicationFigures figures() const override;
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
    /// This node, and those up to the master.
    std::vector<NodeName> chain() const;
    /// On whose account this node becomes master.
    enum class Ballot : std::uint8_t { forced, ordered, failover, unsafe };
    /// Who has to be asked before.
    struct Voters {
        std::vector<KnownNode> nodes;
        bool are_all_needed = false;
        bool is_one_needed = false;
    };
    /// The role is kept from changing otherwise. Throws RequestError, and StorageError.
    reply::Promoted become_master(Ballot ballot);
    void check_may_be_promoted(Ballot ballot) const;
    Voters voters_for(Ballot ballot) const;
    /// The names of those that did not answer. Throws RequestError where it must not begin an epoch.
    std::vector<std::string> ask(const Voters& voters, Ballot ballot, const std::optional<Epoch>& epoch);
    void set_failover_alarm(const std::string& why);
    /// Throws RequestError where it is another one.
    void check_is_of_this_database(const DatabaseId& database) const;
    std::string why_no_promise(const control::Promise& asked) const;
    std::vector<KnownNode> reachable(std::vector<KnownNode> nodes) const;

    Replicated& database_;
    net::Log& log_;
    const NodeOptions options_;
    const Ground ground_;
    Peers peers_;
    Announcer announcer_;
    Source source_;
    std::unique_ptr<Follower> follower_;

    mutable std::mutex mutex_;  // of all that follows
    const std::unique_ptr<Condition> changed_ = ground_.runtime.make_condition();
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
