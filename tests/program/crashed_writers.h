#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "tests/program/writer.h"
#include "tests/support/daemon.h"

namespace karma::test {

// Writers of one series, "links", whose daemon is ended while they write, again and again.
class CrashedWriters {
public:
    // `more`: arguments of the daemon beside random ones.
    explicit CrashedWriters(std::uint64_t seed, std::vector<std::string> more = {});

    // What somebody does meanwhile, on a connection and a thread of its own, without pause; it changes
    // nothing of the series "links", and ends with an exception when the daemon does.
    using Care = std::function<void(Client& client, std::mt19937_64& random)>;

    // Lets all write for a random time and kills the daemon; after `care` has been begun at least once.
    void write_and_crash(const Care& care = {});
    // The same with a signal that it has to end well at.
    void write_and_stop(int signal);
    // Starts it with other random arguments. Some starts are cut short too.
    void restart();
    // Checks, on a daemon that runs, what was acknowledged, and that there is nothing else.
    void check();

    Daemon& daemon() { return daemon_; }
    std::mt19937_64& random() { return random_; }
    std::size_t sent() const { return sent_; }

private:
    std::vector<std::string> arguments();
    void write_until(const std::function<void()>& end, const Care& care);
    std::string take_care(const Care& care, std::uint64_t seed, std::atomic<std::uint64_t>& begun) const;

    std::mt19937_64 random_;
    std::vector<std::string> more_;
    Daemon daemon_;
    std::deque<Writer> writers_;
    std::size_t sent_ = 0;
};

}  // namespace karma::test
