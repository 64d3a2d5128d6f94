#include "engine/day.h"

#include <algorithm>
#include <charconv>
#include <chrono>

namespace karma {
namespace {

using std::chrono::days;
using std::chrono::sys_days;
using std::chrono::year_month_day;

constexpr sys_days day_zero{std::chrono::year{1} / std::chrono::January / 1};

static_assert((sys_days{std::chrono::year{9999} / std::chrono::December / 31} - day_zero).count() == max_day);

}  // namespace

std::optional<Day> day_from_yyyymmdd(std::uint64_t yyyymmdd) noexcept {
    if (yyyymmdd < 1'01'01 || yyyymmdd > 9999'12'31) {
        return std::nullopt;
    }
    const auto number = static_cast<unsigned>(yyyymmdd);
    const year_month_day date{std::chrono::year{static_cast<int>(number / 10'000)},
                              std::chrono::month{number / 100 % 100}, std::chrono::day{number % 100}};
    if (!date.ok()) {
        return std::nullopt;
    }
    return static_cast<Day>((sys_days{date} - day_zero).count());
}

std::optional<Day> day_from_text(std::string_view text) noexcept {
    char digits[8];
    if (text.size() == 10 && text[4] == '-' && text[7] == '-') {
        std::copy_n(text.data(), 4, digits);
        std::copy_n(text.data() + 5, 2, digits + 4);
        std::copy_n(text.data() + 8, 2, digits + 6);
    } else if (text.size() == 8) {
        std::copy_n(text.data(), 8, digits);
    } else {
        return std::nullopt;
    }
    std::uint32_t number = 0;
    const auto [end, failure] = std::from_chars(digits, digits + 8, number);
    if (failure != std::errc{} || end != digits + 8) {
        return std::nullopt;
    }
    return day_from_yyyymmdd(number);
}

std::uint32_t day_to_yyyymmdd(Day day) noexcept {
    const year_month_day date{day_zero + days{day}};
    return static_cast<std::uint32_t>(static_cast<int>(date.year())) * 10'000 +
           static_cast<unsigned>(date.month()) * 100 + static_cast<unsigned>(date.day());
}

Day day_from_unix_ms(std::int64_t unix_ms) noexcept {
    const std::chrono::sys_time<std::chrono::milliseconds> instant{std::chrono::milliseconds{unix_ms}};
    const auto count = (std::chrono::floor<days>(instant) - day_zero).count();
    return static_cast<Day>(std::clamp<std::int64_t>(count, 0, max_day));
}

}  // namespace karma
