#include "engine/timestamp.h"

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

    bool digits() noexcept {
        const std::size_t before = rest_.size();
        while (!rest_.empty() && is_digit(rest_.front())) {
            rest_.remove_prefix(1);
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

}  // namespace

std::optional<std::int64_t> unix_from_rfc3339(std::string_view text) noexcept {
    constexpr std::size_t date_size = 10;  // "2026-05-05"
    if (text.size() <= date_size || text[4] != '-') {
        return std::nullopt;
    }
    const std::optional<Day> day = day_from_text(text.substr(0, date_size));
    Reader reader(text.substr(date_size));
    std::int64_t hours = 0;
    std::int64_t minutes = 0;
    std::int64_t seconds = 0;
    const bool has_time = (reader.take('T') || reader.take('t') || reader.take(' ')) &&
                          reader.two_digits(hours, 23) && reader.take(':') &&
                          reader.two_digits(minutes, 59) && reader.take(':') &&
                          reader.two_digits(seconds, 60);  // 60: a leap second
    if (!day || !has_time || (reader.take('.') && !reader.digits())) {
        return std::nullopt;
    }
    const std::optional<std::int64_t> offset = read_offset(reader);
    if (!offset || !reader.is_done()) {
        return std::nullopt;
    }
    constexpr std::int64_t unix_epoch_day = 719'162;  // 1970-01-01
    return (std::int64_t{*day} - unix_epoch_day) * 86'400 + hours * 3600 + minutes * 60 + seconds - *offset;
}

}  // namespace karma
