#pragma once

#include <chrono>
#include <exception>

#include "replica/follower_context.h"
#include "replica/karma1/follower.h"

namespace karma::replica {

/// Following a source that only answers polls: Karma 1.0. Used by the follower's thread.
class Karma1Polling {
public:
    /// `context` outlives it.
    explicit Karma1Polling(const FollowerContext& context);

    /// Takes the source's state if this node needs it. Throws as Karma1Follower::bootstrap.
    void begin();
    /// Takes the next events. False if there may be no more for now: then the next poll is after `interval`.
    /// Throws as Karma1Follower::poll.
    bool poll();
    std::chrono::milliseconds interval() const;

private:
    void note_unfollowable(const std::exception& failure);

    const FollowerContext& context_;
    Karma1Follower follower_;
};

}  // namespace karma::replica
