#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/identity.h"
#include "engine/number.h"

namespace karma {

/// A node that follows this one.
struct FollowerStatistics {
    std::string name;
    std::string address;
    std::string state;  // "bootstrapping", "catching_up" or "streaming"
    Lsn acked_lsn = 0;  // it has everything up to there, durable
    std::uint64_t lag_entries = 0;
    double lag_seconds = 0;  // since this node has had an event that the follower has not
    std::uint64_t bytes_sent = 0;
    std::uint64_t connected_unix = 0;
};

/// A follower whose acknowledgements count, or will count when all others of these know it.
struct CountedStatistics {
    NodeId node_id = 0;
    std::string name;
    bool is_counted = false;
    bool is_there = false;  // it follows at this moment; as far as this node can tell
};

/// The state of replication at one moment. Times are Unix seconds, 0 for never.
struct ReplicationStatistics {
    // As a follower:
    std::string source;          // the address of the master; empty where there is none
    std::string state = "none";  // "connecting", "bootstrapping", "catching_up", "streaming", "polling", ...
    std::uint64_t replayed_lsn = 0;
    std::uint64_t source_lsn = 0;  // the master's last event, as far as it is known
    double lag_seconds = 0;        // since the master was known to have an event that this node has not
    /// False while this node is not connected: its lag is the last known one.
    bool is_lag_known = true;
    std::optional<double> seconds_since_heard;         // the source; nothing where it never was
    std::optional<double> seconds_since_master_heard;  // the master itself, which may be another one
    std::string chain;  // the node ids from this node up to the master, in hexadecimal; empty: not known
    std::uint64_t failover_timeout_ms = 0;
    std::uint64_t entries_applied = 0;
    std::uint64_t bytes_received = 0;
    std::uint64_t last_received_unix = 0;
    struct Tries {
        std::uint64_t attempts = 0;
        std::uint64_t successes = 0;
        std::uint64_t errors = 0;
        std::uint64_t last_attempt_unix = 0;
        std::uint64_t last_success_unix = 0;
        std::uint64_t last_error_unix = 0;
        std::optional<std::string> last_error;

        void attempt(std::uint64_t now_unix) noexcept {
            ++attempts;
            last_attempt_unix = now_unix;
        }
        void succeed(std::uint64_t now_unix) noexcept {
            ++successes;
            last_success_unix = now_unix;
        }
        void fail(std::uint64_t now_unix, const char* why) {
            ++errors;
            last_error_unix = now_unix;
            last_error = why;
        }
    };
    Tries polls;  // connections to a master, and polls of one that only answers polls
    Tries bootstraps;
    /// What an order of the operator has moved aside since the start, and where it is now; empty: nothing.
    std::string discarded;

    // As a master:
    std::vector<FollowerStatistics> followers;
    std::vector<CountedStatistics> counted;  // of a follower: as its master has told it
    std::uint64_t bytes_sent = 0;
    std::uint32_t min_acks = 0;

    // Comparisons of digests, as either:
    std::uint64_t digests_compared = 0;
    std::uint64_t digests_different = 0;
    std::uint64_t last_compared_unix = 0;
    std::uint64_t last_compared_lsn = 0;
};

}  // namespace karma
