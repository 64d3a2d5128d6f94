#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace karma {

/// The first and the last millisecond of the years 1 to 9999.
inline constexpr std::int64_t unix_ms_min = -62'135'596'800'000;
inline constexpr std::int64_t unix_ms_max = 253'402'300'799'999;

/// Unix milliseconds of an instant written as RFC 3339 has it, "2026-05-05T13:30:00.25+02:00"; what is finer
/// than a millisecond is cut off. Nothing where the text is no such instant.
std::optional<std::int64_t> unix_ms_from_rfc3339(std::string_view text) noexcept;

/// Which end of a day a text means that names only the day.
enum class DayEnd : std::uint8_t { first, last };

/// The same, or a UTC day, "2026-05-05", which stands for its first or its last one.
std::optional<std::int64_t> unix_ms_from_time_or_day(std::string_view text, DayEnd end) noexcept;

/// The accepted forms, for messages.
inline constexpr const char* time_or_day_forms =
    "an RFC 3339 time such as \"2026-05-05T00:00:00Z\" or a UTC day such as \"2026-05-05\"";

/// "2026-05-05T13:30:00.250Z", for years 1 to 9999; times beyond are shown as the nearest that can be.
std::string rfc3339_from_unix_ms(std::int64_t unix_ms);

}  // namespace karma
