#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "engine/replicated.h"
#include "engine/replication_figures.h"
#include "engine/reply.h"
#include "net/log.h"
#include "replica/channel.h"
#include "replica/counted_followers.h"
#include "replica/digests.h"
#include "replica/discarded.h"
#include "replica/handshake.h"
#include "replica/peers.h"
#include "replica/source_watch.h"

namespace karma::replica {

class Karma1Follower;

struct FollowerOptions {
    std::string host;  // of the master
    std::uint16_t port = 8080;
    std::string token;                // empty: none
    std::string name;                 // of this node, for people; unique among the followers of a master
    std::filesystem::path directory;  // where discarded events are kept for audit
    std::chrono::milliseconds poll_interval{1000};  // of a master that only answers polls
    std::uint32_t batch_size = 1000;                // of such a poll
    std::chrono::milliseconds timeout{15'000};      // a master that is silent for so long is gone
    std::chrono::milliseconds failover_timeout{0};  // 0: none
    std::uint16_t own_port = 0;                     // on which this node can be asked; 0: not known
    /// The operator's order, for one use, to move this node's data aside when nothing proves that the master
    /// has it, too. Empty: none.
    std::string discard_order = {};
};

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

    std::string source() const;
    /// Another node has named a later epoch than the source's: ends the stream, and waits briefly until
    /// nothing more is applied from it. It acknowledges nothing there any more in any case.
    void leave_overtaken_source();
    /// The node is receiving a state that will replace its own.
    bool takes_state() const;
    /// The state is being put in place, which cannot be interrupted.
    bool installs_state() const;
    /// Whether this node is empty and the master, as far as is known, is not.
    bool has_nothing() const;
    ReplicationFigures figures() const;
    /// The reason why a person is needed; empty while all is well.
    std::string alarm() const;
    /// The source has answered that this node has events that the source has not.
    bool has_diverged() const;
    /// Why this node has no master behind it, for its own followers; empty if it has.
    std::string doubt() const;
    /// What is known of the source, for this node's own followers.
    SourceWatch watched() const;
    /// Whether the condition of `on_master_lost` is true now.
    bool has_lost_master() const;
    /// Compares with the master. Throws RequestError.
    reply::DigestsCompared compare(const Deadline& deadline);

private:
    struct Connection;
    /// Thrown when this node is to end.
    struct Stopped {};
    /// Thrown when the source has refused this node, after that was noted.
    struct Refused {};

    void run();
    void follow();
    net::Subscription describe_self() const;
    Peer master_within(std::chrono::milliseconds timeout) const;
    void on_lost(const std::string& why);
    void on_refused(const SubscribeReply& reply);
    // In follower_order.cpp:
    void on_unproved(const SubscribeReply& reply);
    std::string why_unproved(const SubscribeReply& reply) const;
    std::string order_advice() const;
    /// Throws ChannelError, with the alarm set, if this node must not accept the source's offer.
    void check_offer(const net::Subscription& self, const SubscribeReply& reply);
    [[noreturn]] void turn_down(const char* state, const std::string& why);
    void note_epoch(const SubscribeReply& reply);
    std::optional<Lsn> find_common_lsn(const SubscribeReply& reply) const;
    Discarded keep_discarded(const SubscribeReply& reply) const;
    void note_discarded(const Discarded& discarded, const std::filesystem::path& database);
    void poll();
    void bootstrap();
    std::uint64_t poll_once();
    void note_polled_master();
    void note_unfollowable(const std::exception& failure);
    void stream(Connection& connection);
    void take_frames(Connection& connection);
    void take_events(Connection& connection, std::string_view payload);
    void commit(Connection& connection);
    void install(Connection& connection);
    void begin_comparison(Connection& connection, StateView view);
    void compare_when_ready(Connection& connection);
    void check_silence() const;
    void check_source_epoch() const;
    void take_list(Connection& connection, Life& life);
    void note_peers(const Life& life);
    void finish(Connection& connection);
    void commit_applied() noexcept;
    void take_heartbeat(Connection& connection, std::string_view payload);
    void note_epoch(const Epoch& named, const DatabaseId& database);
    void say_alive(Connection& connection);
    std::string ask(Line& line, const net::Subscription& self, std::chrono::milliseconds timeout);
    Clock::time_point now() const noexcept { return environment_.runtime.now(); }
    void note_heard();
    void forget_sync();
    /// With the mutex held.
    void note_if_in_sync();
    void note_master_lsn(Lsn lsn);
    void wait(std::chrono::milliseconds time);
    void set_state(const std::string& state);

    Replicated& database_;
    net::Log& log_;
    const FollowerOptions options_;
    const std::function<void()> on_master_lost_;
    const Environment environment_;
    CountedFollowers* const counted_;
    Peers* const peers_;

    std::atomic<bool> stopping_{false};
    std::atomic<bool> comparison_wanted_{false};
    std::unique_ptr<Karma1Follower> karma1_;  // of the thread; once the master is known to be a Karma 1.0
    std::string last_error_;                  // of the thread; as it was logged
    std::string source_failure_;              // of the thread; as it was logged
    std::optional<Epoch>
        source_epoch_;  // of the thread: the latest one that the source named; of this database

    mutable std::mutex mutex_;  // of all that follows
    const std::unique_ptr<Condition> changed_ = environment_.runtime.make_condition();
    Channel* channel_ = nullptr;
    bool installs_state_ = false;
    ReplicationFigures figures_;
    Clock::time_point behind_since_;
    SourceWatch watch_{options_.timeout};
    std::string refusal_;  // why the source does not take this node; empty once it does
    std::string gap_;      // what does not fit here; empty once something does
    struct Comparison {
        std::uint64_t number = 0;
        Lsn lsn = 0;
        std::string digest;
        std::string difference;
    };
    Comparison comparison_;  // the last one
    std::unique_ptr<Thread> thread_;
};

}  // namespace karma::replica
