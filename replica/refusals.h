#pragma once

#include <cstddef>
#include <deque>
#include <mutex>
#include <string>

namespace karma::replica {

/// The followers that were refused last, with the reasons, so that a follower that tries again and again is
/// logged once. Keeps a limited number of hashes. Thread-safe.
class Refusals {
public:
    static constexpr std::size_t names_max = 128;

    /// False if the follower with this name was refused for this reason last.
    bool is_new(const std::string& name, const std::string& reason);
    /// The follower is not refused any more.
    void forget(const std::string& name);

private:
    struct Refusal {
        std::size_t name = 0;
        std::size_t reason = 0;
    };

    std::mutex mutex_;
    std::deque<Refusal> refusals_;  // the latest last
};

}  // namespace karma::replica
