#pragma once

#include <cstdint>
#include <optional>

#include "engine/number.h"

namespace karma {

/// A place in a history. Two nodes that have the same event there, in the same epochs of the same database,
/// have the same history up to it.
struct HistoryMark {
    Lsn lsn = 0;
    /// The checksum of the event with that LSN; nothing if it is not kept. 0 at LSN 0.
    std::optional<std::uint32_t> checksum;

    bool operator==(const HistoryMark&) const = default;
};

}  // namespace karma
