#include "cli/csv_reader.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstring>
#include <limits>
#include <utility>

#include "cli/text.h"
#include "engine/day.h"

namespace karma::cli {

namespace {

constexpr std::size_t read_bytes = 262'144;
constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";

bool is_blank(char byte) { return byte == ' ' || byte == '\t'; }

bool is_digit(char byte) { return byte >= '0' && byte <= '9'; }

enum class FieldEnd { comma, line, bad_quotes };

// Takes the field at the beginning of `rest`, without quotes and the blanks around it, and the comma behind
// it.
FieldEnd take_field(std::string_view& rest, std::string_view& field) {
    const char* at = rest.data();
    const char* const end = at + rest.size();
    while (at != end && is_blank(*at)) ++at;
    const bool in_quotes = at != end && *at == '"';
    const char* stop = nullptr;
    if (in_quotes) {
        ++at;
        stop = static_cast<const char*>(std::memchr(at, '"', static_cast<std::size_t>(end - at)));
        if (stop == nullptr) return FieldEnd::bad_quotes;
        field = std::string_view(at, static_cast<std::size_t>(stop - at));
        at = stop + 1;
        while (at != end && is_blank(*at)) ++at;
        if (at != end && *at != ',') return FieldEnd::bad_quotes;
    } else {
        const char* const begin = at;
        while (at != end && *at != ',') ++at;
        stop = at;
        while (stop != begin && is_blank(stop[-1])) --stop;
        field = std::string_view(begin, static_cast<std::size_t>(stop - begin));
    }
    if (at == end) return FieldEnd::line;
    rest = std::string_view(at + 1, static_cast<std::size_t>(end - at - 1));
    return FieldEnd::comma;
}

bool read_number(std::string_view text, std::uint64_t& number) {
    const char* const end = text.data() + text.size();
    const auto [stop, failure] = std::from_chars(text.data(), end, number);
    return failure == std::errc{} && stop == end;
}

bool looks_like_day(std::string_view text) {
    if (text.size() == 8) return std::all_of(text.begin(), text.end(), is_digit);
    if (text.size() != 10) return false;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (at == 4 || at == 7 ? text[at] != '-' : !is_digit(text[at])) return false;
    }
    return true;
}

std::string lower_case(std::string_view text) {
    std::string lower(text);
    std::transform(lower.begin(), lower.end(), lower.begin(), [](char byte) {
        return static_cast<char>(std::tolower(static_cast<unsigned char>(byte)));
    });
    return lower;
}

}  // namespace

CsvReader::CsvReader(InputFile& input, const CsvOptions& options)
    : input_(input), options_(options), buffer_(max_line_bytes + 1 + read_bytes) {}

CsvEvent CsvReader::next(CsvRow& row) {
    while (true) {
        std::string_view line;
        const LineState state = next_line(line);
        if (state == LineState::idle) return CsvEvent::idle;
        if (state == LineState::end) return CsvEvent::end;
        if (state == LineState::too_long) header_possible_ = false;
        if (state == LineState::line) {
            if (line_ == 1 && line.starts_with(byte_order_mark)) line.remove_prefix(byte_order_mark.size());
            if (line.ends_with('\r')) line.remove_suffix(1);
            if (line.empty() || (is_blank(line.front()) && trimmed(line).empty())) continue;
            if (column_count_ == 0 && learn_columns(line)) continue;
        }
        if (line_ < options_.first_line) continue;
        if (state == LineState::too_long) {
            bad("the line is longer than " + std::to_string(max_line_bytes) + " bytes");
            return CsvEvent::bad_row;
        }
        return parse_row(line, row) ? CsvEvent::row : CsvEvent::bad_row;
    }
}

CsvReader::LineState CsvReader::next_line(std::string_view& line) {
    while (true) {
        const void* const found =
            scanned_ == end_ ? nullptr : std::memchr(buffer_.data() + scanned_, '\n', end_ - scanned_);
        if (found != nullptr) {
            const auto at = static_cast<std::size_t>(static_cast<const char*>(found) - buffer_.data());
            return take_line(at, at + 1, line);
        }
        scanned_ = end_;
        if (end_ - start_ > max_line_bytes) {
            discarding_ = true;
            start_ = scanned_ = end_ = 0;
        }
        const bool passing_over = line_ + 1 < options_.first_line;
        if (ended_) {
            if (start_ == end_ && !discarding_) return LineState::end;
            return take_line(end_, end_, line);
        }
        if (fill_buffer() == LineState::idle || passing_over) return LineState::idle;
    }
}

CsvReader::LineState CsvReader::fill_buffer() {
    if (start_ != 0) {
        std::memmove(buffer_.data(), buffer_.data() + start_, end_ - start_);
        scanned_ -= start_;
        end_ -= start_;
        start_ = 0;
    }
    std::size_t count = 0;
    const InputState state = input_.read(std::span(buffer_).subspan(end_), count);
    end_ += count;
    if (state == InputState::end) ended_ = true;
    return state == InputState::idle ? LineState::idle : LineState::line;
}

CsvReader::LineState CsvReader::take_line(std::size_t end, std::size_t next, std::string_view& line) {
    line = std::string_view(buffer_.data() + start_, end - start_);
    start_ = scanned_ = next;
    ++line_;
    const bool too_long = discarding_ || line.size() > max_line_bytes;
    discarding_ = false;
    return too_long ? LineState::too_long : LineState::line;
}

// Sets column_count_, unless `line` is a row that does not tell. Returns true when it is the header.
bool CsvReader::learn_columns(std::string_view line) {
    std::vector<std::string_view> fields;
    FieldEnd field_end = FieldEnd::comma;
    for (std::string_view rest = line; field_end == FieldEnd::comma;) {
        field_end = take_field(rest, fields.emplace_back());
    }
    const std::string_view first = fields.front();
    const bool begins_like_a_number = first.empty() || is_digit(first[0]) ||
                                      std::string_view("+-.").find(first[0]) != std::string_view::npos;
    const bool header_possible = std::exchange(header_possible_, false);
    if (field_end == FieldEnd::bad_quotes) return false;
    if (header_possible && !begins_like_a_number) {
        read_header(fields);
        return true;
    }
    if (fields.size() == 2 || fields.size() == 3) column_count_ = fields.size();
    if (column_count_ == 2) value_column_ = no_column;
    return false;
}

void CsvReader::read_header(const std::vector<std::string_view>& names) {
    key_column_ = bucket_column_ = value_column_ = no_column;
    for (std::size_t at = 0; at < names.size(); ++at) {
        const std::string name = lower_case(names[at]);
        std::size_t* const column = name == "key"                        ? &key_column_
                                    : name == "bucket" || name == "date" ? &bucket_column_
                                    : name == "value"                    ? &value_column_
                                                                         : nullptr;
        if (column == nullptr) {
            throw InputError(place() + "the header names the column " + cli::quoted(names[at]) +
                             ", expected key, bucket (or date) and value");
        }
        if (*column != no_column)
            throw InputError(place() + "the header names the column " + cli::quoted(name) + " twice");
        *column = at;
    }
    if (key_column_ == no_column) throw InputError(place() + "the header names no column \"key\"");
    if (bucket_column_ == no_column)
        throw InputError(place() + "the header names no column \"bucket\" (or \"date\")");
    column_count_ = names.size();
}

bool CsvReader::split(std::string_view line) {
    std::size_t count = 0;
    FieldEnd field_end = FieldEnd::comma;
    while (field_end == FieldEnd::comma) {
        std::string_view field;
        field_end = take_field(line, field);
        if (field_end == FieldEnd::bad_quotes)
            return bad("the quotes of field " + std::to_string(count + 1) + " do not match");
        if (count < fields_.size()) fields_[count] = field;
        ++count;
    }
    if (count == column_count_) return true;
    if (column_count_ != 0)
        return bad(counted(count, "field") + ", expected " + std::to_string(column_count_));
    return bad(counted(count, "field") + ", expected key,bucket,value");
}

bool CsvReader::parse_row(std::string_view line, CsvRow& row) {
    static constexpr auto top = std::numeric_limits<std::uint64_t>::max();
    if (!split(line)) return false;
    CsvRow parsed;
    parsed.line = line_;
    const std::string_view key = fields_[key_column_];
    if (!read_number(key, parsed.key)) {
        return bad("key " + cli::quoted(key) + " is not a whole number from 0 to " + std::to_string(top));
    }
    if (!parse_bucket(fields_[bucket_column_], parsed.bucket)) return false;
    if (value_column_ != no_column) {
        const std::string_view value = fields_[value_column_];
        if (!read_number(value, parsed.value) || (parsed.value == 0 && !options_.zero_allowed)) {
            return bad("value " + cli::quoted(value) + " is not a whole number from " +
                       (options_.zero_allowed ? "0" : "1") + " to " + std::to_string(top));
        }
    }
    row = parsed;
    return true;
}

bool CsvReader::parse_bucket(std::string_view text, std::uint32_t& bucket) {
    if (text.empty() || text != last_bucket_text_) {
        const auto day = looks_like_day(text) ? day_from_text(text) : std::nullopt;
        if (!day) {
            return bad(
                "bucket " + cli::quoted(text) +
                (looks_like_day(text) ? " is not a calendar day" : " is not a day (YYYYMMDD or YYYY-MM-DD)"));
        }
        last_bucket_ = day_to_yyyymmdd(*day);
        last_bucket_text_ = text;
    }
    bucket = last_bucket_;
    return true;
}

bool CsvReader::bad(const std::string& what) {
    problem_ = place() + what;
    return false;
}

std::string CsvReader::place() const { return input_.name() + ':' + std::to_string(line_) + ": "; }

}  // namespace karma::cli
