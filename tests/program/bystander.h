#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>

#include "tests/support/daemon.h"

namespace karma::test {

// A client that behaves, while others do not: it adds to a counter and reads it again, one request after the
// other, and each reply has to be right.
class Bystander {
public:
    explicit Bystander(const Daemon& daemon, std::string token = {});
    ~Bystander();
    Bystander(const Bystander&) = delete;
    Bystander& operator=(const Bystander&) = delete;

    // Waits until it has been served some more times from now on; false when it is not, or not well.
    bool goes_on();
    // Ends it and says what was wrong with a reply; empty when nothing was.
    std::string finish();
    std::uint64_t served() const { return served_; }

private:
    void run();

    const Daemon& daemon_;
    const std::string token_;
    std::atomic<bool> stopping_{false};
    std::atomic<bool> failed_{false};
    std::atomic<std::uint64_t> served_{0};
    std::string problem_;
    std::thread thread_;
};

}  // namespace karma::test
