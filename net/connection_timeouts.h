#pragma once

#include <chrono>

#include "net/server_options.h"

namespace karma::net {

/// Decides when a connection has waited too long for its client. Knows no clock: the caller passes the
/// monotonic time.
class ConnectionTimeouts {
public:
    using Time = std::chrono::steady_clock::time_point;

    /// What the connection waits for.
    enum class State {
        working,    // for the daemon: the disk, followers, a task. No time is too long
        idle,       // for a request: no byte of one has arrived, and no reply is owed
        receiving,  // for the rest of a request that has begun
        sending,    // for the client to take bytes
    };

    ConnectionTimeouts(const ServerOptions& options, Time now) : options_(options), since_(now) {}

    /// Changes the state. The time runs on if it is already in that state.
    void enter(State state, Time now) noexcept {
        if (state != state_) {
            state_ = state;
            since_ = now;
        }
    }
    /// Restarts the time, because the client sent a request or took bytes.
    void restart(Time now) noexcept { since_ = now; }

    State state() const noexcept { return state_; }
    /// How long it has been in its state.
    Time::duration waited(Time now) const noexcept { return now - since_; }
    bool is_over(Time now) const noexcept {
        const std::chrono::milliseconds limit = limit_now();
        return limit.count() != 0 && now - since_ > limit;
    }

private:
    std::chrono::milliseconds limit_now() const noexcept {
        switch (state_) {
            case State::working: break;
            case State::idle: return options_.idle_timeout;
            case State::receiving: return options_.read_timeout;
            case State::sending: return options_.write_timeout;
        }
        return std::chrono::milliseconds(0);
    }

    const ServerOptions& options_;
    State state_ = State::idle;
    Time since_;
};

}  // namespace karma::net
