#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include "tests/program/points.h"

namespace karma::test {

// A client that changes counters without pause and knows what it has sent and what was acknowledged. Its own
// keys are changed by nobody else; the shared key, of all writers, is only added to. One connection executes
// requests in order, so what a crash leaves of a writer is the effect of its first n requests, for one n from
// acknowledged to sent.
class Writer {
public:
    static constexpr std::uint64_t shared_key = 7;

    // Writers of one series need different numbers.
    Writer(std::uint64_t number, std::string series, std::uint64_t seed);

    // Sends requests, up to `window` before it reads a reply, until `stop` or until the connection fails;
    // adds to `acknowledged` after each reply. Then all of what was sent and not settled is still open. A
    // reply that is no success, or not the right one, is kept as problem().
    void run(std::uint16_t port, std::size_t window, std::atomic<std::uint64_t>& acknowledged,
             const std::atomic<bool>& stop);

    // Given what the daemon holds of all keys: finds the n whose effect on the own keys it is, takes that as
    // the new start, and adds the effect on the shared key to `shared`. Returns what is wrong; empty when
    // nothing is.
    std::string settle(const Points& found, Points& shared);

    bool owns(std::uint64_t key) const { return key / keys_per_writer == number_; }
    std::size_t sent() const { return requests_.size(); }
    std::size_t acknowledged() const { return acknowledged_; }
    const std::string& problem() const { return problem_; }

private:
    static constexpr std::uint64_t keys_per_writer = 1000;

    enum class Kind { increment, decrement, batch_add, batch_set };
    struct Item {
        std::uint64_t key;
        std::uint32_t bucket;
        std::uint64_t value;
    };
    struct Request {
        Kind kind;
        std::vector<Item> items;
    };

    Request make_request();
    std::string encode(const Request& request) const;
    std::string expected_response(const Request& request) const;
    static void apply(const Request& request, Points& points);
    Points own_points(const Points& all) const;

    std::uint64_t number_;
    std::string series_;
    std::mt19937_64 random_;
    Points points_;                 // the start
    std::deque<Request> requests_;  // since the start, in the order sent
    std::size_t acknowledged_ = 0;  // of requests_
    std::string problem_;
};

}  // namespace karma::test
