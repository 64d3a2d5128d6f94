#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

#include "engine/number.h"

namespace karma {

/// A point in the history of a database: the state after the last event with an LSN not above `lsn` and a
/// time not after `time_ms`, and all events before it. By default the latest state.
struct HistoryPoint {
    Lsn lsn = std::numeric_limits<Lsn>::max();
    std::int64_t time_ms = std::numeric_limits<std::int64_t>::max();  // Unix milliseconds

    /// The largest LSN stands for "latest" above and is no event's: asked for, it is in the future like any
    /// other LSN above the last one.
    static HistoryPoint at_lsn(Lsn lsn) noexcept {
        return {std::min(lsn, HistoryPoint().lsn - 1), HistoryPoint().time_ms};
    }
    static HistoryPoint at_time(std::int64_t time_ms) noexcept { return {HistoryPoint().lsn, time_ms}; }

    /// Whether an event, or what was made after it, belongs to the state.
    bool includes(Lsn event_lsn, std::int64_t event_time_ms) const noexcept {
        return event_lsn <= lsn && event_time_ms <= time_ms;
    }

    bool operator==(const HistoryPoint&) const = default;
};

/// An LSN in decimal digits, or a time as RFC 3339 has it; nothing for any other text.
std::optional<HistoryPoint> history_point_from_text(std::string_view text) noexcept;

}  // namespace karma
