#include <string>

#include <doctest/doctest.h>

#include "engine/history_point.h"
#include "engine/timestamp.h"

namespace karma::test {

TEST_CASE("RFC 3339: instants are read to the millisecond") {
    CHECK(unix_ms_from_rfc3339("1970-01-01T00:00:00Z") == 0);
    CHECK(unix_ms_from_rfc3339("2026-05-05T13:30:00.25+02:00") == 1'777'980'600'250);
    CHECK(unix_ms_from_rfc3339("2026-05-05t11:30:00.2509999z") == 1'777'980'600'250);
    CHECK(unix_ms_from_rfc3339("1969-12-31T23:59:59.999Z") == -1);
    for (const char* const text : {"", "2026-05-05", "2026-05-05T13:30:00", "2026-05-05T13:30:00.Z",
                                   "2026-02-30T00:00:00Z", "2026-05-05T24:00:00Z", "20260505T000000Z"}) {
        CAPTURE(text);
        CHECK(!unix_ms_from_rfc3339(text));
    }
}

TEST_CASE("RFC 3339: what is written reads back, also before 1970") {
    CHECK(rfc3339_from_unix_ms(0) == "1970-01-01T00:00:00.000Z");
    CHECK(rfc3339_from_unix_ms(1'777'980'600'250) == "2026-05-05T11:30:00.250Z");
    CHECK(rfc3339_from_unix_ms(-1) == "1969-12-31T23:59:59.999Z");
    CHECK(rfc3339_from_unix_ms(INT64_MAX) == "9999-12-31T23:59:59.999Z");
    CHECK(rfc3339_from_unix_ms(INT64_MIN) == "0001-01-01T00:00:00.000Z");
    for (std::int64_t ms = -5'000'000'000'000; ms < 5'000'000'000'000; ms += 7'777'777'777) {
        CHECK(unix_ms_from_rfc3339(rfc3339_from_unix_ms(ms)) == ms);
    }
}

TEST_CASE("days: a day stands for its first or its last millisecond") {
    CHECK(unix_ms_from_time_or_day("2026-05-05", DayEnd::first) ==
          unix_ms_from_rfc3339("2026-05-05T00:00:00Z"));
    CHECK(unix_ms_from_time_or_day("2026-05-05", DayEnd::last) ==
          unix_ms_from_rfc3339("2026-05-05T23:59:59.999Z"));
    CHECK(unix_ms_from_time_or_day("1969-12-31", DayEnd::last) == -1);
    CHECK(unix_ms_from_time_or_day("2026-05-05T11:30:00.250Z", DayEnd::last) == 1'777'980'600'250);
    for (const char* const text : {"", "20260505", "2026-02-30", "2026-05-5", "2026-05-055", "2026/05/05"}) {
        CAPTURE(text);
        CHECK(!unix_ms_from_time_or_day(text, DayEnd::first));
    }
    const auto end_of_day = HistoryPoint::at_end_of(1'777'939'200'000, 1'778'025'599'999);
    CHECK(history_point_from_text("2026-05-05") == end_of_day);
    CHECK(end_of_day.includes(1, 1'778'025'599'999));
    CHECK(!end_of_day.includes(1, 1'778'025'600'000));
}

TEST_CASE("history points: an LSN or a time") {
    CHECK(history_point_from_text("17") == HistoryPoint::at_lsn(17));
    CHECK(history_point_from_text("18446744073709551615") != HistoryPoint());  // no LSN means "latest"
    CHECK(history_point_from_text("2026-05-05T11:30:00.250Z") == HistoryPoint::at_time(1'777'980'600'250));
    for (const char* const text :
         {"", "-1", "17 ", "0x11", "18446744073709551616", "2026-02-30", "20260505T"}) {
        CAPTURE(text);
        CHECK(!history_point_from_text(text));
    }
    CHECK(HistoryPoint::at_lsn(5).includes(5, 1'000));
    CHECK(!HistoryPoint::at_lsn(5).includes(6, 0));
    CHECK(HistoryPoint::at_time(1'000).includes(99, 1'000));
    CHECK(!HistoryPoint::at_time(1'000).includes(1, 1'001));
}

}  // namespace karma::test
