#include "engine/period.h"

#include <algorithm>
#include <charconv>

namespace karma {
namespace {

constexpr std::int64_t week_days = 7;
constexpr std::int64_t month_days_max = 31;
constexpr std::int64_t year_days_max = 366;

/// A year from 1 on and a month from 0 to 11.
struct Month {
    std::uint32_t year;
    std::uint32_t month;
};

Month month_of(Day day) noexcept {
    const std::uint32_t number = day_to_yyyymmdd(day);
    return {number / 10'000, number / 100 % 100 - 1};
}

/// The first day of a month, which the calendar may not have any more.
std::optional<Day> first_of(Month at) noexcept {
    return day_from_yyyymmdd(std::uint64_t{at.year} * 10'000 + (at.month + 1) * 100 + 1);
}

Day day_before(std::optional<Day> next) noexcept { return next ? *next - 1 : max_day; }

DayRange month_at(Month at) noexcept {
    const Month next = at.month == 11 ? Month{at.year + 1, 0} : Month{at.year, at.month + 1};
    return {first_of(at).value_or(0), day_before(first_of(next))};
}

DayRange month_before(Month at) noexcept {
    if (at.year == 1 && at.month == 0) {
        return month_at(at);  // the calendar begins
    }
    return month_at(at.month == 0 ? Month{at.year - 1, 11} : Month{at.year, at.month - 1});
}

/// 0001-01-01 is a Monday.
DayRange week_at(Day day) noexcept {
    constexpr Day last_of_week = 6;
    const Day monday = day - day % static_cast<Day>(week_days);
    return {monday, std::min(monday + last_of_week, max_day)};
}

}  // namespace

DayRange Period::on(Day day) const noexcept {
    const Day before = day == 0 ? 0 : day - 1;
    switch (kind_) {
        case Kind::days: break;
        case Kind::last_days: return {count_ > day ? 0 : day - (count_ - 1), day};
        case Kind::this_day: return {day, day};
        case Kind::day_before: return {before, before};
        case Kind::this_week: return week_at(day);
        case Kind::this_month: return month_at(month_of(day));
        case Kind::last_month: return month_before(month_of(day));
        case Kind::this_year: {
            const std::uint32_t year = month_of(day).year;
            return {first_of({year, 0}).value_or(0), day_before(first_of({year + 1, 0}))};
        }
    }
    return days_;
}

std::int64_t Period::day_count_max() const noexcept {
    switch (kind_) {
        case Kind::days: break;
        case Kind::last_days: return count_;
        case Kind::this_day:
        case Kind::day_before: return 1;
        case Kind::this_week: return week_days;
        case Kind::this_month:
        case Kind::last_month: return month_days_max;
        case Kind::this_year: return year_days_max;
    }
    return std::int64_t{days_.to} - std::int64_t{days_.from} + 1;
}

std::optional<Period> period_from_name(std::string_view name) noexcept {
    using Kind = Period::Kind;
    struct Named {
        std::string_view name;
        Kind kind;
    };
    static constexpr Named all[] = {{"today", Kind::this_day},        {"yesterday", Kind::day_before},
                                    {"this_week", Kind::this_week},   {"this_month", Kind::this_month},
                                    {"last_month", Kind::last_month}, {"this_year", Kind::this_year}};
    const auto* const found = std::ranges::find(all, name, &Named::name);
    return found == std::end(all) ? std::nullopt : std::optional(Period(found->kind));
}

std::optional<Period> period_from_last(std::string_view text) noexcept {
    std::uint32_t count = 0;
    const char* const end = text.data() + text.size();
    const auto [at, failure] = std::from_chars(text.data(), end, count);
    if (failure != std::errc{} || count == 0 || count > max_day + 1 || std::string_view(at, end) != "d") {
        return std::nullopt;
    }
    return Period::last(count);
}

}  // namespace karma
