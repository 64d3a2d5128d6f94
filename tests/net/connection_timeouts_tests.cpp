#include <chrono>

#include <doctest/doctest.h>

#include "net/connection_timeouts.h"

namespace karma::test {

namespace {

using net::ConnectionTimeouts;
using State = ConnectionTimeouts::State;

ConnectionTimeouts::Time moment(int ms) { return ConnectionTimeouts::Time(std::chrono::milliseconds(ms)); }

net::ServerOptions options_of(int read, int write, int idle) {
    net::ServerOptions options;
    options.read_timeout = std::chrono::milliseconds(read);
    options.write_timeout = std::chrono::milliseconds(write);
    options.idle_timeout = std::chrono::milliseconds(idle);
    return options;
}

}  // namespace

TEST_CASE("timeouts: each state has its own, and a time that runs on while the state stays") {
    const net::ServerOptions options = options_of(100, 200, 300);
    ConnectionTimeouts timeouts(options, moment(0));
    CHECK_FALSE(timeouts.is_over(moment(300)));
    CHECK(timeouts.is_over(moment(301)));
    timeouts.enter(State::receiving, moment(1'000));
    timeouts.enter(State::receiving, moment(1'090));
    CHECK_FALSE(timeouts.is_over(moment(1'100)));
    CHECK(timeouts.is_over(moment(1'101)));
    timeouts.restart(moment(1'101));
    CHECK_FALSE(timeouts.is_over(moment(1'200)));
    timeouts.enter(State::sending, moment(2'000));
    CHECK_FALSE(timeouts.is_over(moment(2'200)));
    CHECK(timeouts.is_over(moment(2'201)));
    timeouts.enter(State::working, moment(3'000));
    CHECK_FALSE(timeouts.is_over(moment(1'000'000)));
    timeouts.enter(State::receiving, moment(1'000'000));
    CHECK_FALSE(timeouts.is_over(moment(1'000'100)));
}

TEST_CASE("timeouts: 0 is none") {
    const net::ServerOptions options = options_of(0, 0, 0);
    ConnectionTimeouts timeouts(options, moment(0));
    for (const State state : {State::idle, State::receiving, State::sending, State::working}) {
        timeouts.enter(state, moment(0));
        CHECK_FALSE(timeouts.is_over(moment(1'000'000'000)));
    }
}

}  // namespace karma::test
