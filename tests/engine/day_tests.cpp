#include <doctest/doctest.h>

#include "engine/day.h"

namespace karma::test {

TEST_CASE("day: every day of the calendar goes out and comes back") {
    std::uint32_t before = 0;
    for (Day day = 0; day <= max_day; ++day) {
        const std::uint32_t written = day_to_yyyymmdd(day);
        if (written <= before || day_from_yyyymmdd(written) != day) {
            FAIL("day " << day << " is written " << written);
        }
        before = written;
    }
    CHECK(day_to_yyyymmdd(0) == 10101);
    CHECK(day_to_yyyymmdd(max_day) == 99991231);
}

TEST_CASE("day: what is no calendar day is refused") {
    for (const std::uint64_t number :
         {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{10100}, std::uint64_t{20260230},
          std::uint64_t{20261301}, std::uint64_t{20260500}, std::uint64_t{20260532}, std::uint64_t{20230229},
          std::uint64_t{19000229}, std::uint64_t{100000101}, std::uint64_t{18446744073709551615U}}) {
        CAPTURE(number);
        CHECK_FALSE(day_from_yyyymmdd(number).has_value());
    }
    CHECK(day_from_yyyymmdd(20240229).has_value());
    CHECK(day_from_yyyymmdd(20000229).has_value());
    for (const char* const text : {"", "x", "2026-05-5", "2026-5-05", "2026/05/05", "20260505 ", "+2026050",
                                   "2026050a", "2026-0505", "-0260505", "2026-02-30"}) {
        CAPTURE(text);
        CHECK_FALSE(day_from_text(text).has_value());
    }
    CHECK(day_from_text("2026-05-05") == day_from_yyyymmdd(20260505));
    CHECK(day_from_text("20260505") == day_from_yyyymmdd(20260505));
}

TEST_CASE("day: an instant belongs to its UTC day") {
    CHECK(day_to_yyyymmdd(day_from_unix_ms(0)) == 19700101);
    CHECK(day_to_yyyymmdd(day_from_unix_ms(-1)) == 19691231);
    CHECK(day_to_yyyymmdd(day_from_unix_ms(86'399'999)) == 19700101);
    CHECK(day_to_yyyymmdd(day_from_unix_ms(86'400'000)) == 19700102);
    CHECK(day_to_yyyymmdd(day_from_unix_ms(1'795'208'099'000)) == 20261120);
    CHECK(day_from_unix_ms(std::int64_t{1} << 62) == max_day);
    CHECK(day_from_unix_ms(-(std::int64_t{1} << 62)) == 0);
}

}  // namespace karma::test
