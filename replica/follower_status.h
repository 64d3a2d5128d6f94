#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "engine/replicated.h"
#include "engine/replication_statistics.h"
#include "engine/reply.h"
#include "engine/scan.h"
#include "replica/follower_options.h"
#include "replica/life.h"
#include "replica/runtime.h"
#include "replica/source_watch.h"

namespace karma::replica {

/// What is known of following, from one connection to the next: the state, what was heard of the source and
/// when, what a person has to settle, and the last comparison. The follower's thread notes, any thread asks.
/// Thread-safe.
class FollowerStatus {
public:
    /// All outlive it. `source`: the address of the source.
    FollowerStatus(const Replicated& database, Runtime& runtime, const FollowerOptions& options,
                   std::string source);

    // Noted by the follower's thread:

    /// Following begins: nothing is known of the source.
    void note_start();
    /// The events that are stored are known.
    void note_ready();
    void set_state(std::string_view state);
    /// The next connection is tried.
    void note_attempt();
    /// The source has accepted this node, or answered a poll; its last event has this LSN.
    void note_accepted(Lsn source_lsn);
    /// The connection could not be made, or has ended.
    void note_lost(const std::string& why);
    /// As `note_lost`, for a cause that a person has to settle.
    void note_refused(const char* state, const std::string& why);
    /// The source answers, and this node cannot follow it.
    void note_unfollowable(const std::string& why);

    /// Events come by a stream from now on, or not any more.
    void note_stream(bool is_there);
    void note_bytes_received(std::uint64_t bytes);
    /// The source has sent something, or has closed the connection.
    void note_word();
    /// The source describes itself. True if it tells of a node that has failed, and did not do so before.
    bool note_life(Life life);
    /// A heartbeat with nothing but an LSN, from an earlier version.
    void note_plain_life();
    /// The LSN of the source's last event.
    void note_source_lsn(Lsn lsn);
    /// This node has everything up to this LSN, durably.
    void note_committed(Lsn lsn);
    /// The source's answer to a poll, after its events were applied.
    void note_polled(Life life, Lsn source_lsn, std::uint64_t applied);
    /// The master has to be heard again before its silence counts.
    void forget_sync();
    /// An event of the source does not fit here.
    void note_gap(const std::string& why);

    /// The source sends its state, which will replace this node's.
    void note_state_wanted();
    void note_state_failed(const std::string& why);
    /// A state is being put in place, or not any more.
    void note_installing(bool is_under_way);
    /// The state is in place: what did not fit before is gone.
    void note_installed();
    /// What an order of the operator has moved aside.
    void note_discarded(std::string what);
    void note_compared(Lsn lsn, std::string digest, std::string difference);

    // Asked by any thread:

    /// How long the source has been silent; nothing if it was never heard.
    std::optional<std::chrono::milliseconds> silence() const;
    /// The number of connections that the source has accepted, and of its answers to polls.
    std::uint64_t times_accepted() const;
    /// The node is receiving a state that will replace its own.
    bool takes_state() const;
    /// The state is being put in place, which cannot be interrupted.
    bool installs_state() const;
    /// Whether this node is empty and the master, as far as is known, is not.
    bool has_nothing() const;
    /// The source has answered that this node has events that the source has not.
    bool has_diverged() const;
    /// The source and the master itself have been silent for the failover timeout, and this node was in sync
    /// until then.
    bool has_lost_master() const;
    ReplicationStatistics statistics() const;
    /// The reason why a person is needed; empty while all is well.
    std::string alarm() const;
    /// Why this node has no master behind it, for its own followers; empty if it has.
    std::string doubt() const;
    SourceWatch watched() const;

    /// A comparison that has not ended yet, on one stream.
    struct AwaitedComparison {
        std::uint64_t number = 0;
        std::uint64_t connection = 0;
    };
    /// The next comparison on the stream that there is now.
    AwaitedComparison next_comparison() const;
    /// Waits for it, and returns its result. Throws RequestError if the stream ends before, if the states
    /// differ, or at the deadline.
    reply::DigestsCompared wait_for(const AwaitedComparison& awaited, const Deadline& deadline) const;

private:
    struct Comparison {
        std::uint64_t number = 0;
        Lsn lsn = 0;
        std::string digest;
        std::string difference;

        std::string text() const { return "at LSN " + std::to_string(lsn) + ": " + difference; }
    };

    // With `mutex_` held:
    void take_source_lsn(Lsn lsn);
    void note_if_in_sync();

    Clock::time_point now() const noexcept { return runtime_.now(); }

    const Replicated& database_;
    Runtime& runtime_;
    const FollowerOptions& options_;

    mutable std::mutex mutex_;  // of all that follows
    const std::unique_ptr<Condition> changed_ = runtime_.make_condition();
    bool has_stream_ = false;
    bool installs_state_ = false;
    ReplicationStatistics statistics_;
    Clock::time_point behind_since_;
    SourceWatch watch_;
    std::string failure_;    // of a node between this one and the master, as the source has told it last
    std::string refusal_;    // why the source does not take this node; empty once it does
    std::string gap_;        // what does not fit here; empty once something does
    Comparison comparison_;  // the last one
};

}  // namespace karma::replica
