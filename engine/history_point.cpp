#include "engine/history_point.h"

#include <charconv>

#include "engine/timestamp.h"

namespace karma {

std::optional<HistoryPoint> history_point_from_text(std::string_view text) noexcept {
    Lsn lsn = 0;
    const char* const end = text.data() + text.size();
    if (const auto read = std::from_chars(text.data(), end, lsn); read.ec == std::errc{} && read.ptr == end) {
        return HistoryPoint::at_lsn(lsn);
    }
    const std::optional<std::int64_t> first = unix_ms_from_time_or_day(text, DayEnd::first);
    const std::optional<std::int64_t> last = unix_ms_from_time_or_day(text, DayEnd::last);
    return first && last ? std::optional(HistoryPoint::at_end_of(*first, *last)) : std::nullopt;
}

}  // namespace karma
