#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "engine/replication_statistics.h"
#include "net/subscription.h"
#include "replica/background.h"
#include "replica/channel.h"
#include "replica/digests.h"
#include "replica/source.h"

namespace karma::replica {

struct Decision;
struct OwnHistory;
struct SubscribeReply;

/// Serves one follower, from a thread of its own: agrees with it where to begin, sends the state if the
/// follower needs it, then the events of the log as they become durable. Its memory is bounded: it reads from
/// the log as there is room on the connection.
class Session {
public:
    Session(Source& source, std::unique_ptr<PeerStream> stream, std::string address,
            net::Subscription subscription);
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    /// Ends the session.
    ~Session();

    void start();

    // From any thread:

    bool has_ended() const noexcept { return ended_->load(); }
    /// The same, for a reader that may outlive this object.
    std::shared_ptr<const std::atomic<bool>> ended() const noexcept { return ended_; }
    /// There are new durable events, or the session is to end.
    void wake() noexcept;
    void stop() noexcept;
    bool is_stopping() const noexcept { return stopping_.load(); }
    /// Compares digests as soon as it can.
    void want_comparison() noexcept;
    /// Sends as much of a text as it can without waiting; in place of `start`.
    void say(std::string_view text) noexcept;
    FollowerStatistics statistics() const;
    const std::string& name() const noexcept { return subscription_.name; }
    std::uint64_t node_id() const noexcept { return subscription_.node_id; }
    /// The follower and its address, as far as it has sent them.
    KnownNode node() const;
    /// The generation of the history that is sent and acknowledged, once the session streams.
    std::uint64_t generation() const noexcept { return generation_; }
    /// The follower acknowledges only what is on its disk.
    bool syncs() const noexcept { return subscription_.syncs; }
    bool stores_lists() const noexcept { return subscription_.stores_lists; }
    /// The follower's acknowledgements count, in the generation of this session.
    bool is_counted() const noexcept { return counted_.load(); }
    /// Sends a heartbeat as soon as it can.
    void want_heartbeat() noexcept;
    /// The follower has everything up to this LSN, durably; 0 while it has no state.
    Lsn acked_lsn() const noexcept { return acked_lsn_.load(); }
    bool is_streaming() const noexcept { return streaming_.load(); }
    std::uint64_t bytes_sent() const noexcept { return bytes_sent_.load(); }

private:
    void run();
    /// False when the follower was refused.
    bool begins();
    bool shake_hands();
    void send_state();
    void take_wishes();
    void stream();
    void send_events();
    void send_heartbeat();
    void take_frames();
    void note_alive(std::string_view payload);
    void note_acknowledged(Lsn lsn);
    void find_out_if_counted();
    void begin_comparison();
    void go_on_comparing();
    void describe(SubscribeReply& reply) const;
    void refuse(const Decision& decision, const OwnHistory& own);
    void refuse(const std::string& code, const std::string& reason, const std::string& message,
                std::optional<Lsn> common_lsn);
    /// Sends and receives, and waits for the other end.
    void pump(std::chrono::milliseconds wait_max);
    /// Throws when the follower is silent, receives nothing any more, or does not acknowledge what it has
    /// received.
    void check_progress();
    bool owes() const;
    void check_goes_on() const;
    Clock::time_point now() const noexcept { return runtime_.now(); }
    void note_progress() { progress_ = now(); }

    Source& source_;
    Replicated& database_;
    Runtime& runtime_;
    const std::string address_;
    const net::Subscription subscription_;
    Channel channel_;
    std::unique_ptr<LogPin> pin_;
    std::uint64_t generation_ = 0;
    std::chrono::milliseconds heartbeat_{1000};
    Lsn next_lsn_ = 0;  // the first event that was not queued
    bool sends_state_ = false;
    Clock::time_point progress_;  // when the follower last took or acknowledged something
    Clock::time_point heard_;     // when the follower last said something
    Clock::time_point next_heartbeat_;
    Clock::time_point next_comparison_;
    // Positions in what is sent to the follower:
    std::uint64_t reply_bytes_ = 0;      // the reply to its request, before the first frame
    std::uint64_t received_ = 0;         // it has received everything before
    std::uint64_t state_end_at_ = 0;     // where the state ends
    std::vector<KnownNode> peers_told_;  // to the follower
    Background<Digests> digests_;
    Lsn compared_lsn_ = 0;
    std::string compared_digest_;

    std::atomic<Lsn> acked_lsn_{0};
    std::atomic<bool> streaming_{false};
    std::atomic<bool> counted_{false};
    std::atomic<bool> heartbeat_wanted_{false};
    std::atomic<bool> stopping_{false};
    const std::shared_ptr<std::atomic<bool>> ended_ = std::make_shared<std::atomic<bool>>(false);
    std::atomic<bool> sleeping_{false};
    std::atomic<bool> comparison_wanted_{false};
    std::atomic<std::uint64_t> bytes_sent_{0};
    mutable std::mutex samples_mutex_;
    std::deque<std::pair<Lsn, Clock::time_point>> samples_;  // when this node had which event
    std::uint64_t connected_unix_ = 0;
    std::unique_ptr<Thread> thread_;
};

}  // namespace karma::replica
