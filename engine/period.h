#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/day.h"

namespace karma {

/// A range of days as a request names it: two days, or a period relative to the day of the request.
class Period {
public:
    /// Calendar periods are complete, with their future days. Weeks begin on Monday.
    enum class Kind : std::uint8_t {
        days,       // two days
        last_days,  // `count` days, the last of which is the day of the request
        this_day,
        day_before,
        this_week,
        this_month,
        last_month,
        this_year,
    };

    constexpr Period() = default;  // all days
    // NOLINTNEXTLINE(google-explicit-constructor): it is one
    constexpr Period(DayRange days) noexcept : days_(days) {}
    constexpr Period(Day from, Day to) noexcept : days_{from, to} {}
    explicit constexpr Period(Kind kind) noexcept : kind_(kind) {}
    /// `count` is 1 or more.
    static constexpr Period last(std::uint32_t count) noexcept {
        Period period(Kind::last_days);
        period.count_ = count;
        return period;
    }

    /// The days that the period means on a day, cut off at the ends of the calendar.
    DayRange on(Day day) const noexcept;
    /// The same for a time, Unix milliseconds.
    DayRange at(std::int64_t now_ms) const noexcept {
        return kind_ == Kind::days ? days_ : on(day_from_unix_ms(now_ms));
    }
    /// Whether its days depend on when it is asked.
    bool is_relative() const noexcept { return kind_ != Kind::days; }

    /// The most days that it can have.
    std::int64_t day_count_max() const noexcept;

    bool operator==(const Period&) const = default;

private:
    DayRange days_;
    std::uint32_t count_ = 0;
    Kind kind_ = Kind::days;
};

/// The period of a name such as "this_month"; nothing where there is none.
std::optional<Period> period_from_name(std::string_view name) noexcept;

/// The period of a text such as "30d", the last 30 days; nothing where it is no number of days from 1 on.
std::optional<Period> period_from_last(std::string_view text) noexcept;

/// The names of all, for messages.
inline constexpr std::string_view period_names =
    "today, yesterday, this_week, this_month, last_month, this_year";

}  // namespace karma
