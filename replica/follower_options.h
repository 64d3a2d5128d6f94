#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>

namespace karma::replica {

struct FollowerOptions {
    std::string host;  // of the master
    std::uint16_t port = 8080;
    std::string token;                // empty: none
    std::string name;                 // of this node, for people; unique among the followers of a master
    std::filesystem::path directory;  // where discarded events are kept for audit
    std::chrono::milliseconds poll_interval{1000};  // of a master that only answers polls
    std::uint32_t batch_size = 1000;                // of such a poll
    std::chrono::milliseconds timeout{15'000};      // a master that is silent for so long is gone
    std::chrono::milliseconds failover_timeout{0};  // 0: none
    std::uint16_t own_port = 0;                     // on which this node can be asked; 0: not known
    /// The operator's order, for one use, to move this node's data aside when nothing proves that the master
    /// has it, too. Empty: none.
    std::string discard_order = {};

    bool fails_over() const noexcept { return failover_timeout.count() != 0; }
    /// A connection on which nothing has come for this time is given up.
    std::chrono::milliseconds silence_max() const noexcept {
        return fails_over() ? failover_timeout : timeout;
    }
};

}  // namespace karma::replica
