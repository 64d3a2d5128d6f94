#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "net/log.h"

namespace karma::net {

/// Logs from where requests with wrong tokens come: a line for each address, at most once a minute, with the
/// number since the line before. Bounded memory. Thread-safe.
class RefusedLogins {
public:
    using Time = std::chrono::steady_clock::time_point;

    static constexpr std::size_t addresses_max = 1024;
    static constexpr std::chrono::minutes interval{1};

    explicit RefusedLogins(Log& log) : log_(log) {}

    void note(const std::string& address, std::uint64_t count, Time now);

private:
    struct Seen {
        Time logged;
        std::uint64_t since = 0;
    };

    Log& log_;
    std::mutex mutex_;
    std::map<std::string, Seen> seen_;
};

}  // namespace karma::net
