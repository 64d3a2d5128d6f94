#include "engine/timestamp.h"

#include <algorithm>
#include <cstdio>

#include "engine/day.h"

namespace karma {
namespace {

/// Takes a text apart from the front.
class Reader {
public:
    explicit Reader(std::string_view text) : rest_(text) {}

    bool take(char expected) noexcept {
        if (rest_.empty() || rest_.front() != expected) {
            return false;
        }
        rest_.remove_prefix(1);
        return true;
    }

    /// Two digits, at most `max`.
    bool two_digits(std::int64_t& value, std::int64_t max) noexcept {
        if (rest_.size() < 2 || !is_digit(rest_[0]) || !is_digit(rest_[1])) {
            return false;
        }
        value = (rest_[0] - '0') * 10 + (rest_[1] - '0');
        rest_.remove_prefix(2);
        return value <= max;
    }

    /// One digit or more behind a decimal point.
    bool fraction(std::int64_t& thousandths) noexcept {
        const std::size_t before = rest_.size();
        std::int64_t unit = 100;
        for (; !rest_.empty() && is_digit(rest_.front()); rest_.remove_prefix(1)) {
            thousandths += unit * (rest_.front() - '0');
            unit /= 10;
        }
        return rest_.size() < before;
    }

    bool is_done() const noexcept { return rest_.empty(); }

private:
    static bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

    std::string_view rest_;
};

/// Seconds that the local time is ahead of UTC.
std::optional<std::int64_t> read_offset(Reader& reader) noexcept {
    if (reader.take('Z') || reader.take('z')) {
        return 0;
    }
    const bool ahead = reader.take('+');
    std::int64_t hours = 0;
    std::int64_t minutes = 0;
    if ((!ahead && !reader.take('-')) || !reader.two_digits(hours, 23) || !reader.take(':') ||
        !reader.two_digits(minutes, 59)) {
        return std::nullopt;
    }
    const std::int64_t offset = hours * 3600 + minutes * 60;
    return ahead ? offset : -offset;
}

constexpr std::int64_t unix_epoch_day = 719'162;  // 1970-01-01
constexpr std::int64_t day_ms = 86'400'000;
constexpr std::size_t date_size = 10;  // "2026-05-05"

}  // namespace

std::optional<std::int64_t> unix_ms_from_time_or_day(std::string_view text, DayEnd end) noexcept {
    if (text.size() != date_size || text[4] != '-') {
        return unix_ms_from_rfc3339(text);
    }
    const std::optional<Day> day = day_from_text(text);
    if (!day) {
        return std::nullopt;
    }
    const std::int64_t first = (std::int64_t{*day} - unix_epoch_day) * day_ms;
    return end == DayEnd::first ? first : first + day_ms - 1;
}

std::optional<std::int64_t> unix_ms_from_rfc3339(std::string_view text) noexcept {
    if (text.size() <= date_size || text[4] != '-') {
        return std::nullopt;
    }
    const std::optional<Day> day = day_from_text(text.substr(0, date_size));
    Reader reader(text.substr(date_size));
    std::int64_t hours = 0;
    std::int64_t minutes = 0;
    std::int64_t seconds = 0;
    std::int64_t thousandths = 0;
    const bool has_time = (reader.take('T') || reader.take('t') || reader.take(' ')) &&
                          reader.two_digits(hours, 23) && reader.take(':') &&
                          reader.two_digits(minutes, 59) && reader.take(':') &&
                          reader.two_digits(seconds, 60);  // 60: a leap second
    if (!day || !has_time || (reader.take('.') && !reader.fraction(thousandths))) {
        return std::nullopt;
    }
    const std::optional<std::int64_t> offset = read_offset(reader);
    if (!offset || !reader.is_done()) {
        return std::nullopt;
    }
    const std::int64_t unix_day = std::int64_t{*day} - unix_epoch_day;
    return (unix_day * 86'400 + hours * 3600 + minutes * 60 + seconds - *offset) * 1000 + thousandths;
}

std::string rfc3339_from_unix_ms(std::int64_t unix_ms) {
    static_assert(unix_ms_min == -unix_epoch_day * day_ms && (unix_ms_max + 1) % day_ms == 0);
    const std::int64_t since_first = std::clamp(unix_ms, unix_ms_min, unix_ms_max) - unix_ms_min;
    const std::uint32_t date = day_to_yyyymmdd(static_cast<Day>(since_first / day_ms));
    const auto ms = static_cast<unsigned>(since_first % day_ms);
    char text[32];
    std::snprintf(text, sizeof text, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", date / 10'000, date / 100 % 100,
                  date % 100, ms / 3'600'000, ms / 60'000 % 60, ms / 1000 % 60, ms % 1000);
    return text;
}

}  // namespace karma
