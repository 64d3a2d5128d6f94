#include "tests/model/values.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>

#include <openssl/sha.h>

namespace karma::test::model {

json::value to_json(Wide number) {
    if (number <= value_max) return json::value(static_cast<std::uint64_t>(number));
    std::string digits;
    for (; number != 0; number /= 10) digits += static_cast<char>('0' + static_cast<int>(number % 10));
    std::ranges::reverse(digits);
    return big_integer(digits);
}

bool is_calendar_day(std::uint64_t number) {
    if (number < 10101 || number > 99991231) return false;
    const auto year = std::chrono::year(static_cast<int>(number / 10000));
    const auto month = std::chrono::month(static_cast<unsigned>(number / 100 % 100));
    const auto day = std::chrono::day(static_cast<unsigned>(number % 100));
    return std::chrono::year_month_day(year, month, day).ok();
}

bool read_time(std::string_view text, std::int64_t& seconds, bool end_of_day) {
    if (text.size() == 10)  // a day
        return read_time(std::string(text) + (end_of_day ? "T23:59:59Z" : "T00:00:00Z"), seconds, end_of_day);
    int year = 0;
    unsigned month = 0;
    unsigned day = 0;
    int hour = 0;
    int minute = 0;
    int second = 0;
    int used = 0;
    const std::string copy(text);
    if (std::sscanf(copy.c_str(), "%4d-%2u-%2uT%2d:%2d:%2d%n", &year, &month, &day, &hour, &minute, &second,
                    &used) != 6)
        return false;
    int offset = 0;
    const std::string zone = copy.substr(static_cast<std::size_t>(used));
    if (zone != "Z") {
        int offset_hours = 0;
        int offset_minutes = 0;
        if (zone.size() != 6 ||
            std::sscanf(zone.c_str() + 1, "%2d:%2d", &offset_hours, &offset_minutes) != 2 ||
            (zone[0] != '+' && zone[0] != '-'))
            return false;
        offset = (offset_hours * 60 + offset_minutes) * (zone[0] == '-' ? -60 : 60);
    }
    const std::chrono::year_month_day date{std::chrono::year{year}, std::chrono::month{month},
                                           std::chrono::day{day}};
    if (!date.ok() || hour > 23 || minute > 59 || second > 59) return false;
    const auto days = std::chrono::sys_days(date).time_since_epoch().count();
    seconds = std::int64_t{days} * 86400 + hour * 3600 + minute * 60 + second - offset;
    return true;
}

std::int64_t unix_now() {
    return std::chrono::duration_cast<std::chrono::seconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

Day utc_day(std::int64_t unix_seconds) {
    const std::chrono::year_month_day date(
        std::chrono::floor<std::chrono::days>(std::chrono::sys_seconds(std::chrono::seconds(unix_seconds))));
    return static_cast<Day>(static_cast<int>(date.year())) * 10000 +
           static_cast<unsigned>(date.month()) * 100 + static_cast<unsigned>(date.day());
}

std::string sha256(std::string_view text) {
    std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
    SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
    std::string digits;
    for (const unsigned char byte : digest) {
        std::array<char, 3> two{};
        std::snprintf(two.data(), two.size(), "%02x", byte);
        digits += two.data();
    }
    return digits;
}

}  // namespace karma::test::model
