#pragma once

#include <atomic>
#include <chrono>
#include <string>

#include "engine/replicated.h"
#include "net/address_text.h"
#include "net/log.h"
#include "replica/counted_followers.h"
#include "replica/follower_options.h"
#include "replica/follower_status.h"
#include "replica/network.h"
#include "replica/peers.h"

namespace karma::replica {

/// What a follower shares with its connections, which it outlives.
struct FollowerContext {
    Replicated& database;
    net::Log& log;
    const FollowerOptions& options;
    Environment environment;
    FollowerStatus& status;
    const std::atomic<bool>& stopping;  // this node is to follow no more
    CountedFollowers* counted;          // null: this node stores no list
    Peers* peers;                       // null: this node stores no nodes

    /// The address of the source.
    std::string source() const { return net::address_text(options.host, options.port); }
    /// The source as a peer. `stopping` ends waiting for it.
    Peer source_within(std::chrono::milliseconds timeout) const {
        return {options.host, options.port, timeout, &stopping};
    }
    Clock::time_point now() const noexcept { return environment.runtime.now(); }
};

/// Thrown when the follower is to end.
struct FollowingStopped {};

/// Thrown when this node and its source do not go together, which a person has to settle.
struct SourceRefused {
    const char* state;  // of the follower from now on: "refused", "stranger" or "diverged"
    std::string why;
};

}  // namespace karma::replica
