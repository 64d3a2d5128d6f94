#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/program/keyed_request.h"
#include "tests/program/lane.h"
#include "tests/program/operation.h"
#include "tests/program/points.h"
#include "tests/program/population.h"

namespace karma::test {

// A client that changes counters under idempotency keys, delivers every request once or several times, on two
// connections, and after a crash delivers again what was not acknowledged. Its own keys and its own series
// are changed by nobody else, and by one request after the other; additions to shared keys are in flight
// together.
class Producer {
public:
    // Producers of one ledger need different numbers, from 1.
    Producer(std::uint64_t number, std::uint64_t seed, Ledger& ledger);

    // Delivers again what is open, then produces until finishing and nothing is open, or until a connection
    // fails; up to `window` requests are open. What is wrong is kept as problem().
    void run(std::uint16_t port, std::size_t window, RunSignals& signals);

    // Given what the daemon holds: says how the own keys differ from what they have to be; empty when they do
    // not. Adds what the shared keys have to hold at least, and can hold at most, on account of this
    // producer.
    std::string settle(const State& found, State& least, State& most);

    const Estate& estate() const { return estate_; }
    std::size_t open() const { return open_.size(); }
    const std::string& problem() const { return problem_; }

private:
    // A request that is not acknowledged, as far as this producer knows.
    struct Open {
        std::shared_ptr<KeyedRequest> request;
        std::optional<State> own_after;  // of a change of own keys: what they hold once it is executed
        State shared;                    // what it adds to shared keys
    };
    using Lanes = std::array<Lane, 2>;

    void make_request(Lane& lane);
    Open make_own_request();
    Open make_shared_request();
    std::shared_ptr<KeyedRequest> make_keyed(const Operation& operation, json::value response);
    void deliver_open(Lanes& lanes);
    void deliver_known(Lane& lane);
    void take_replies(Lanes& lanes);
    std::size_t close_acknowledged();
    bool own_is_open() const;
    Lane& any(Lanes& lanes) { return lanes[random_() % 2]; }

    Estate estate_;
    std::mt19937_64 random_;
    Ledger& ledger_;
    State own_;     // all acknowledged
    State shared_;  // what it has added to shared keys, all acknowledged
    std::deque<Open> open_;
    std::uint64_t made_ = 0;
    std::string problem_;
};

}  // namespace karma::test
