#pragma once

#include <cstdint>
#include <vector>

#include "engine/identity.h"
#include "engine/number.h"

namespace karma {

/// A part of a history that one node wrote. A promotion begins the next epoch with an event of its own;
/// before the first promotion the epoch is 0 and has no entry.
struct Epoch {
    std::uint64_t number = 0;
    std::uint64_t id = 0;  // random, so that two nodes that were promoted at once are told apart
    Lsn first_lsn = 0;     // of the event that began it
    NodeId node = 0;       // that began it, and alone appends events in it; 0: not known

    /// Compares number and id only: messages may name an epoch without its node.
    bool operator==(const Epoch& other) const noexcept {
        return number == other.number && id == other.id && first_lsn == other.first_lsn;
    }

    /// Whether both are the same epoch: messages may name an epoch without its first LSN.
    bool is_same_as(const Epoch& other) const noexcept { return number == other.number && id == other.id; }

    /// Orders epochs by number, then by id: of two nodes that were promoted at the same time into epochs of
    /// the same number, one has to give way.
    bool is_later_than(const Epoch& other) const noexcept {
        return number != other.number ? number > other.number : id > other.id;
    }
};

/// All epochs of a history, the oldest first.
using Epochs = std::vector<Epoch>;

/// The latest epoch; epoch 0 if there was none yet.
inline Epoch last_epoch(const Epochs& epochs) noexcept { return epochs.empty() ? Epoch() : epochs.back(); }

}  // namespace karma
