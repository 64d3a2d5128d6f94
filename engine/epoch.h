#pragma once

#include <cstdint>
#include <vector>

#include "engine/number.h"

namespace karma {

/// A stretch of history that one node wrote. A promotion begins the next one with an event of its own; before
/// the first promotion the epoch is 0 and has no entry.
struct Epoch {
    std::uint64_t number = 0;
    std::uint64_t id = 0;  // random, so that two nodes that were promoted at once are told apart
    Lsn first_lsn = 0;     // of the event that began it

    bool operator==(const Epoch&) const = default;
};

/// All epochs of a history, the oldest first.
using Epochs = std::vector<Epoch>;

inline std::uint64_t current_epoch(const Epochs& epochs) noexcept {
    return epochs.empty() ? 0 : epochs.back().number;
}

}  // namespace karma
