#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>

#include <doctest/doctest.h>

#include "engine/period.h"

namespace karma::test {

namespace {

using std::chrono::days;
using std::chrono::sys_days;
using std::chrono::year_month;
using std::chrono::year_month_day;
using std::chrono::year_month_day_last;

Day day_of(year_month_day date) {
    return *day_from_yyyymmdd(static_cast<std::uint64_t>(static_cast<int>(date.year())) * 10'000 +
                              static_cast<unsigned>(date.month()) * 100 + static_cast<unsigned>(date.day()));
}

DayRange month_days(year_month month) {
    return {day_of(month / 1),
            day_of(year_month_day_last(month.year(), {month.month() / std::chrono::last}))};
}

DayRange range_of(std::uint64_t from, std::uint64_t to) {
    return {*day_from_yyyymmdd(from), *day_from_yyyymmdd(to)};
}

DayRange named(const std::string& name, Day day) { return period_from_name(name).value().on(day); }

}  // namespace

TEST_CASE("period: each name stands for the calendar's days, on every day of thirty years") {
    const sys_days end = sys_days{std::chrono::year{2030} / 1 / 1};
    for (sys_days at = sys_days{std::chrono::year{2000} / 1 / 1}; at < end; at += days{1}) {
        const year_month_day date{at};
        const Day day = day_of(date);
        CAPTURE(day_to_yyyymmdd(day));
        CHECK(named("today", day) == DayRange{day, day});
        CHECK(named("yesterday", day) == DayRange{day - 1, day - 1});
        const unsigned since_monday = std::chrono::weekday{at}.iso_encoding() - 1;
        CHECK(named("this_week", day) == DayRange{day - since_monday, day - since_monday + 6});
        const year_month month{date.year(), date.month()};
        CHECK(named("this_month", day) == month_days(month));
        CHECK(named("last_month", day) == month_days(month - std::chrono::months{1}));
        CHECK(named("this_year", day) ==
              DayRange{day_of(date.year() / 1 / 1), day_of(date.year() / 12 / 31)});
        CHECK(period_from_last("1d")->on(day) == DayRange{day, day});
        CHECK(period_from_last("30d")->on(day) == DayRange{day - 29, day});
    }
}

TEST_CASE("period: the calendar ends what would go beyond it") {
    CHECK(named("today", 0) == DayRange{0, 0});
    CHECK(named("yesterday", 0) == DayRange{0, 0});
    CHECK(named("this_week", 0) == DayRange{0, 6});
    CHECK(named("this_month", 0) == DayRange{0, 30});
    CHECK(named("last_month", 0) == DayRange{0, 30});
    CHECK(named("this_year", 0) == DayRange{0, 364});
    CHECK(named("this_week", max_day) == range_of(9999'12'27, 9999'12'31));
    CHECK(named("this_month", max_day) == range_of(9999'12'01, 9999'12'31));
    CHECK(named("last_month", max_day) == range_of(9999'11'01, 9999'11'30));
    CHECK(named("this_year", max_day) == range_of(9999'01'01, 9999'12'31));
    CHECK(period_from_last("30d")->on(0) == DayRange{0, 0});
    CHECK(period_from_last("30d")->on(28) == DayRange{0, 28});
    CHECK(period_from_last("30d")->on(29) == DayRange{0, 29});
    CHECK(period_from_last("30d")->on(30) == DayRange{1, 30});
    CHECK(period_from_last("3652059d")->on(max_day) == DayRange{0, max_day});
}

TEST_CASE("period: what is no period is none") {
    for (const char* const name : {"", "Today", "tomorrow", "this_hour", "last_week", "today "}) {
        CAPTURE(name);
        CHECK_FALSE(period_from_name(name).has_value());
    }
    for (const char* const last : {"", "d", "0d", "-1d", "+1d", " 1d", "1 d", "1d ", "1D", "1", "1h", "15m",
                                   "1.5d", "3652060d", "4294967296d", "99999999999999999999d"}) {
        CAPTURE(last);
        CHECK_FALSE(period_from_last(last).has_value());
    }
}

TEST_CASE("period: it knows how many days it has at most") {
    for (const char* const name :
         {"today", "yesterday", "this_week", "this_month", "last_month", "this_year"}) {
        const Period period = period_from_name(name).value();
        std::int64_t most = 0;
        for (Day day = 365; day < 365 * 9; ++day) {
            const DayRange range = period.on(day);
            most = std::max(most, std::int64_t{range.to} - range.from + 1);
        }
        CAPTURE(name);
        CHECK(period.day_count_max() == most);
    }
    CHECK(Period::last(7).day_count_max() == 7);
    CHECK(Period(DayRange{3, 5}).day_count_max() == 3);
    CHECK(Period().day_count_max() == std::int64_t{max_day} + 1);
}

TEST_CASE("period: two days are the same two days at any time") {
    const Period period = DayRange{5, 7};
    CHECK(period.at(0) == DayRange{5, 7});
    CHECK(!period.is_relative());
    CHECK(period_from_name("today")->at(0) == range_of(1970'01'01, 1970'01'01));
    CHECK(period_from_name("today")->at(86'400'000 - 1) == range_of(1970'01'01, 1970'01'01));
    CHECK(period_from_name("today")->at(86'400'000) == range_of(1970'01'02, 1970'01'02));
    CHECK(period_from_name("yesterday")->at(-1) == range_of(1969'12'30, 1969'12'30));
}

}  // namespace karma::test
