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
    /// When what a text names begins: earlier than `time_ms` where that is the end of a day. A day that has
    /// begun is not in the future.
    std::int64_t begin_ms = std::numeric_limits<std::int64_t>::max();

    /// The largest LSN stands for "latest" above and is no event's: asked for, it is in the future like any
    /// other LSN above the last one.
    static HistoryPoint at_lsn(Lsn lsn) noexcept {
        HistoryPoint point;
        point.lsn = std::min(lsn, point.lsn - 1);
        return point;
    }
    static HistoryPoint at_time(std::int64_t time_ms) noexcept {
        return {HistoryPoint().lsn, time_ms, time_ms};
    }
    static HistoryPoint at_end_of(std::int64_t begin_ms, std::int64_t end_ms) noexcept {
        return {HistoryPoint().lsn, end_ms, begin_ms};
    }

    /// Whether an event, or what was made after it, belongs to the state.
    bool includes(Lsn event_lsn, std::int64_t event_time_ms) const noexcept {
        return event_lsn <= lsn && event_time_ms <= time_ms;
    }

    bool operator==(const HistoryPoint&) const = default;
};

/// An LSN in decimal digits, a time as RFC 3339 has it, or a UTC day such as "2026-05-05", which stands for
/// its end; nothing for any other text.
std::optional<HistoryPoint> history_point_from_text(std::string_view text) noexcept;

}  // namespace karma
