#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "tests/support/json.h"

namespace karma::test {

// Requests that have one idempotency key.
struct KeyedLines {
    std::vector<std::string> same;         // spellings of the one that is meant
    std::vector<std::string> conflicting;  // others
    std::string invalid;                   // one that is refused whatever there is, and so never gets the key
};

// A request with an idempotency key, and what has been answered to it, on whichever connection. Thread-safe.
class KeyedRequest {
public:
    // `response`: what it is answered, always.
    KeyedRequest(KeyedLines lines, json::value response);

    // May be sent at any time, any number of times.
    const std::string& line(std::mt19937_64& random) const;
    const std::string& invalid_line() const { return lines_.invalid; }
    // May be sent once the request is acknowledged: before, it could be the one that gets the key.
    const std::string& conflicting_line(std::mt19937_64& random) const;

    // Whether somebody has had a reply: it is executed, for good.
    bool acknowledged() const { return acknowledged_; }

    // Takes the reply to one of the lines. was_acknowledged: acknowledged() when it was sent. Throws
    // std::runtime_error saying what is wrong when it is not the one success that it has to be, or tells of a
    // second execution.
    void take_reply(const json::value& reply, bool was_acknowledged);

private:
    const KeyedLines lines_;
    const json::value response_;
    std::atomic<bool> acknowledged_{false};
    std::atomic<int> executions_{0};  // replies that say "for the first time"
};

// The keyed requests of all producers, to be delivered again long after. Thread-safe.
class Ledger {
public:
    // Remembers the newest so many. at_most > 0.
    explicit Ledger(std::size_t at_most) : at_most_(at_most) {}

    void add(std::shared_ptr<KeyedRequest> request);
    // Any of them; null without any.
    std::shared_ptr<KeyedRequest> pick(std::mt19937_64& random) const;
    std::vector<std::shared_ptr<KeyedRequest>> all() const;

private:
    const std::size_t at_most_;
    mutable std::mutex mutex_;
    std::vector<std::shared_ptr<KeyedRequest>> requests_;  // a ring once it is full
    std::size_t oldest_ = 0;
};

}  // namespace karma::test
