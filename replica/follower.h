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
#include "replica/digests.h"
#include "replica/discarded.h"
#include "replica/handshake.h"

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
    /// Of the operator, for one use: to give up what this node has where nothing proves that the master has it
    /// too. It is moved aside. Empty: none.
    std::string discard_order = {};
};

/// Follows a master, from a thread of its own: connects, takes the state where it has to, then events, and
/// begins again whatever happens. Thread-safe.
class Follower {
public:
    /// `database` and `log` outlive it. `on_master_lost` is called from its thread when the master has been
    /// silent for the failover timeout and this node was in sync with it.
    Follower(Replicated& database, net::Log& log, FollowerOptions options,
             std::function<void()> on_master_lost, const Ground& ground = machine_ground());
    Follower(const Follower&) = delete;
    Follower& operator=(const Follower&) = delete;
    ~Follower();

    /// Begins to follow, or goes on.
    void start();
    /// Applies what has arrived, then ends. Returns when nothing more will be applied.
    void stop();

    std::string source() const;
    /// Whether this node is empty and the master, as far as is known, is not.
    bool has_nothing() const;
    ReplicationFigures figures() const;
    /// What a person has to look at; empty while all is well.
    std::string alarm() const;
    /// Compares with the master. Throws RequestError.
    reply::DigestsCompared compare(const Deadline& deadline);

private:
    struct Connection;
    /// Thrown: this node is told to end.
    struct Stopped {};

    void run();
    void follow();
    net::Subscription describe_self() const;
    Peer master_within(std::chrono::milliseconds timeout) const;
    void on_refused(const SubscribeReply& reply);
    // In follower_order.cpp:
    void on_unproved(const SubscribeReply& reply);
    std::string why_unproved(const SubscribeReply& reply) const;
    std::string order_advice() const;
    /// Throws ChannelError, with the alarm set, where the source offers what this node must not take.
    void check_offer(const net::Subscription& self, const SubscribeReply& reply);
    [[noreturn]] void turn_down(const char* state, const std::string& why);
    void note_epoch(const SubscribeReply& reply);
    std::optional<Lsn> find_common_lsn(const SubscribeReply& reply) const;
    Discarded keep_discarded(const SubscribeReply& reply) const;
    void note_discarded(const Discarded& discarded, const std::filesystem::path& database);
    void poll();
    void bootstrap();
    std::uint64_t poll_once();
    void note_unfollowable(const std::exception& failure);
    void stream(Connection& connection);
    void take_frames(Connection& connection);
    void take_events(Connection& connection, std::string_view payload);
    void commit(Connection& connection);
    void install(Connection& connection);
    void begin_comparison(Connection& connection, StateView view);
    void compare_when_ready(Connection& connection);
    void check_silence() const;
    void finish(Connection& connection);
    bool is_failing_over() const;
    Clock::time_point now() const noexcept { return ground_.runtime.now(); }
    void note_heard() { last_heard_ = now(); }
    void forget_sync();
    /// With the mutex held.
    void note_if_in_sync();
    void note_master_lsn(Lsn lsn);
    void wait(std::chrono::milliseconds time);
    void set_state(const std::string& state);
    void set_alarm(const std::string& alarm);

    Replicated& database_;
    net::Log& log_;
    const FollowerOptions options_;
    const std::function<void()> on_master_lost_;
    const Ground ground_;

    std::atomic<bool> stopping_{false};
    std::atomic<bool> comparison_wanted_{false};
    std::unique_ptr<Karma1Follower> karma1_;  // of the thread; once the master has turned out to be a Karma 1.0
    Clock::time_point last_heard_;
    std::string last_error_;  // as it was logged

    mutable std::mutex mutex_;  // of all that follows
    const std::unique_ptr<Condition> changed_ = ground_.runtime.make_condition();
    Channel* channel_ = nullptr;
    ReplicationFigures figures_;
    Clock::time_point behind_since_;
    Clock::time_point in_sync_at_;  // when this node last had everything that it knew of
    std::string alarm_;
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
