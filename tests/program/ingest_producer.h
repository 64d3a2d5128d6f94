#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "tests/program/ingest_stream.h"
#include "tests/program/keyed_request.h"
#include "tests/program/lane.h"
#include "tests/program/points.h"
#include "tests/program/population.h"

namespace karma::test {

// A client that sends streams, one after the other, in all modes: chunks ahead of their replies, some of them
// twice, also on a second connection, some too early, and things that have to be refused. In between it
// increments its own counters under idempotency keys. After a crash it goes on where the daemon says that the
// stream stands.
class IngestProducer {
public:
    IngestProducer(std::uint64_t number, std::uint64_t seed, Ledger& ledger);

    // Works until finishing or until a connection fails. What is wrong is kept as problem().
    void run(std::uint16_t port, RunSignals& signals);

    // With nobody else at work: asks how far the open stream is, which has to be from what was acknowledged
    // to what was sent, and says how the counters differ from what they have to be then; empty when they do
    // not. Adds what the shared keys hold on account of this producer.
    std::string settle(Client& client, const State& found, State& least, State& most);

    const Estate& estate() const { return estate_; }
    const std::string& problem() const { return problem_; }
    std::size_t streams() const { return streams_; }

private:
    struct OpenIncrement {
        std::shared_ptr<KeyedRequest> request;
        State own_after;
    };
    using Lanes = std::array<Lane, 2>;

    void step(Lanes& lanes);
    void make_stream();
    void begin(Lanes& lanes);
    void send_chunks(Lanes& lanes);
    void put_chunk(Lane& lane, std::size_t place, bool may_be_early);
    void end(Lanes& lanes);
    void repeat_ended(Lane& lane);
    void try_mistakes(Lane& lane);
    void increment(Lane& lane);
    void close_increment();
    void advance(std::size_t done);
    void note_commit();
    std::string ask_where_it_stands(Client& client);
    Lane& any(Lanes& lanes) { return lanes[random_() % 2]; }

    Estate estate_;
    std::mt19937_64 random_;
    Ledger& ledger_;
    State own_;     // what the daemon shows of the own counters
    State staged_;  // what the open stream will put in place of its series
    State shared_;  // what was added to shared keys
    std::optional<IngestStream> stream_;
    std::optional<OpenIncrement> increment_;
    std::string aborted_id_;  // to be used again
    std::size_t streams_ = 0;
    std::uint64_t increments_ = 0;
    std::string problem_;
};

}  // namespace karma::test
