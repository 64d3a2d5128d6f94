#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace karma {

/// A UTC day as the number of days since 0001-01-01 in the proleptic Gregorian calendar: 0 to `max_day`.
/// Outside the engine a day is written YYYYMMDD.
using Day = std::uint32_t;

inline constexpr Day max_day = 3'652'058;  // 9999-12-31

/// Stands for "the day on which the request is executed" in a mutation that is not an event yet.
inline constexpr Day today = 0xFFFFFFFF;

/// Days from `from` to `to`, both included; from <= to.
struct DayRange {
    Day from = 0;
    Day to = max_day;

    bool operator==(const DayRange&) const = default;
};

/// The day written as the number YYYYMMDD, or nothing where the calendar has no such day.
std::optional<Day> day_from_yyyymmdd(std::uint64_t yyyymmdd) noexcept;

/// The day written "YYYY-MM-DD" or "YYYYMMDD", or nothing where the text is no calendar day.
std::optional<Day> day_from_text(std::string_view text) noexcept;

/// The number YYYYMMDD of a day in 0..max_day.
std::uint32_t day_to_yyyymmdd(Day day) noexcept;

/// The UTC day of an instant, milliseconds since 1970-01-01. Instants outside the years 1 to 9999
/// give the nearest day of the calendar.
Day day_from_unix_ms(std::int64_t unix_ms) noexcept;

}  // namespace karma
