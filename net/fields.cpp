#include "net/fields.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>
#include <string>

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include "engine/error.h"
#include "engine/timestamp.h"

namespace karma::net {
namespace {

[[noreturn]] void refuse(std::string_view field, std::string_view what) {
    throw RequestError(ErrorCode::validation_error, "Field " + std::string(field) + " " + std::string(what));
}

std::uint64_t to_number(const boost::json::value& value, std::string_view field) {
    if (value.is_int64()) {
        if (value.get_int64() < 0) {
            refuse(field, "must be greater than or equal to 0");
        }
        return static_cast<std::uint64_t>(value.get_int64());
    }
    if (!value.is_uint64()) {
        refuse(field, "must be an integer from 0 to 18446744073709551615");
    }
    return value.get_uint64();
}

Day to_day(const boost::json::value& value, std::string_view field) {
    std::optional<Day> day;
    if (value.is_string()) {
        day = day_from_text(value.get_string());
    } else {
        day = day_from_yyyymmdd(to_number(value, field));
    }
    if (!day) {
        refuse(field, "must be a calendar day such as 20260505 or \"2026-05-05\"");
    }
    return *day;
}

Period to_range(const boost::json::value& value) {
    if (value.is_string()) {
        const std::optional<Period> period = period_from_name(value.get_string());
        if (!period) {
            refuse("range", "must be an object with from and to, or one of " + std::string(period_names));
        }
        return *period;
    }
    if (!value.is_object()) {
        refuse("range", "must be an object with from and to");
    }
    const auto limit = [&](std::string_view name, std::string_view field) {
        const boost::json::value* const at = value.get_object().if_contains(name);
        if (at == nullptr) {
            refuse(field, "is required");
        }
        // Karma 1.0 refuses digits in quotes here, which no client of it can rely on to be a day.
        if (at->is_string() && at->get_string().find('-') == boost::json::string::npos) {
            refuse(field, "must be a calendar day such as 20260505 or \"2026-05-05\"");
        }
        return to_day(*at, field);
    };
    const DayRange range{limit("from", "range.from"), limit("to", "range.to")};
    if (range.from > range.to) {
        refuse("range.from", "must not be after range.to");
    }
    return range;
}

[[noreturn]] void refuse_instant(std::string_view name) {
    refuse(name, "must be Unix seconds, " + std::string(time_or_day_forms));
}

mutation::Item to_item(const boost::json::value& value, std::uint64_t value_min) {
    if (!value.is_array() || value.get_array().size() != 3) {
        refuse("items[]", "must be [key, bucket, value]");
    }
    const boost::json::array& parts = value.get_array();
    const mutation::Item item{to_number(parts[0], "items[][0]"), to_day(parts[1], "items[][1]"),
                              to_number(parts[2], "items[][2]")};
    if (item.value < value_min) {
        refuse("items[][2]", "must be greater than 0");
    }
    return item;
}

/// An item, whose members are said in `form`.
const boost::json::object& to_object(const boost::json::value& item, std::string_view form) {
    if (!item.is_object()) {
        refuse("items[]", "must be " + std::string(form));
    }
    return item.get_object();
}

query::SeriesKey to_series_key(const boost::json::object& object) {
    const boost::json::value* series = object.if_contains("series");
    if (series == nullptr) {
        series = object.if_contains("tree");
    }
    if (series == nullptr || !series->is_string() || series->get_string().empty()) {
        refuse("items[].series", "is required and must be a string that is not empty");
    }
    const boost::json::value* const key = object.if_contains("key");
    if (key == nullptr) {
        refuse("items[].key", "is required");
    }
    return {series->get_string(), to_number(*key, "items[].key")};
}

mutation::SeriesItem to_series_item(const boost::json::object& object) {
    const query::SeriesKey counter = to_series_key(object);
    mutation::SeriesItem item{counter.series, counter.key};
    const boost::json::value* bucket = object.if_contains("bucket");
    if (bucket == nullptr) {
        bucket = object.if_contains("date");
    }
    if (bucket != nullptr) {
        item.day = to_day(*bucket, "items[].bucket");
    }
    if (const boost::json::value* const value = object.if_contains("value")) {
        item.value = to_number(*value, "items[].value");
    }
    if (item.value == 0) {
        refuse("items[].value", "must be greater than 0");
    }
    return item;
}

}  // namespace

const boost::json::value& Fields::required(std::string_view name) const {
    const boost::json::value* const value = find(name);
    if (value == nullptr) {
        refuse(name, "is required");
    }
    return *value;
}

const boost::json::array& Fields::array(std::string_view name) const {
    const boost::json::value& value = required(name);
    if (!value.is_array()) {
        refuse(name, "must be an array");
    }
    return value.get_array();
}

std::string_view Fields::series() const {
    const boost::json::value* value = find("series");
    if (value == nullptr) {
        value = find("tree");
    }
    if (value == nullptr || !value->is_string() || value->get_string().empty()) {
        refuse("series (or tree)", "is required and must be a string that is not empty");
    }
    return value->get_string();
}

std::string_view Fields::text(std::string_view name) const {
    const boost::json::value& value = required(name);
    if (!value.is_string()) {
        refuse(name, "must be a string");
    }
    if (value.get_string().empty()) {
        refuse(name, "must not be empty");
    }
    return value.get_string();
}

std::optional<std::string_view> Fields::boolean_or_text(std::string_view name) const {
    const boost::json::value* const value = find(name);
    if (value == nullptr || value->is_null()) {
        return std::nullopt;
    }
    if (value->is_bool()) {
        return value->get_bool() ? "true" : "false";
    }
    if (!value->is_string()) {
        refuse(name, "must be true or false");
    }
    return text(name);
}

std::optional<std::string_view> Fields::text_or_number(std::string_view name) const {
    const boost::json::value* const value = find(name);
    if (value == nullptr || value->is_null()) {
        return std::nullopt;
    }
    if (value->is_string()) {
        return text(name);
    }
    char digits[24];
    std::to_chars_result written{digits, std::errc{}};
    if (value->is_int64()) {
        written = std::to_chars(digits, digits + sizeof digits, value->get_int64());
    } else if (value->is_uint64()) {
        written = std::to_chars(digits, digits + sizeof digits, value->get_uint64());
    } else {
        refuse(name, "must be a string or an integer");
    }
    const std::span<char> copy = allocate<char>(static_cast<std::size_t>(written.ptr - digits));
    std::memcpy(copy.data(), digits, copy.size());
    return std::string_view(copy.data(), copy.size());
}

std::uint64_t Fields::number(std::string_view name) const { return to_number(required(name), name); }

std::optional<std::uint64_t> Fields::optional_number(std::string_view name) const {
    return has(name) ? std::optional(number(name)) : std::nullopt;
}

std::optional<std::uint64_t> Fields::nullable_number(std::string_view name) const {
    const boost::json::value* const value = find(name);
    return value == nullptr || value->is_null() ? std::nullopt : std::optional(to_number(*value, name));
}

std::optional<std::string_view> Fields::idempotency_key() const {
    constexpr std::size_t bytes_max = 256;
    const std::optional<std::string_view> key = text_or_number("idempotency_key");
    if (key && key->size() > bytes_max) {
        refuse("idempotency_key", "must not be longer than " + std::to_string(bytes_max) + " bytes");
    }
    return key;
}

std::string_view Fields::fingerprint() const {
    constexpr std::size_t bytes_max = 512;
    if (const boost::json::value* const value = find("fingerprint"); value == nullptr || value->is_null()) {
        return {};
    }
    const std::string_view fingerprint = text("fingerprint");
    if (fingerprint.size() > bytes_max) {
        refuse("fingerprint", "must not be longer than " + std::to_string(bytes_max) + " bytes");
    }
    return fingerprint;
}

std::optional<std::string_view> Fields::granularity() const {
    if (const boost::json::value* const value = find("granularity"); value == nullptr || value->is_null()) {
        return std::nullopt;
    }
    const std::string_view granularity = text("granularity");
    if (granularity != "day") {
        refuse("granularity", "must be \"day\": Karma counts by UTC days");
    }
    return granularity;
}

std::optional<std::string_view> Fields::stream_granularity() const {
    constexpr std::string_view prefix = "day;";
    constexpr std::size_t bytes_max = 128;
    const boost::json::value* const value = find("granularity");
    if (value != nullptr && value->is_string()) {
        const std::string_view granularity = value->get_string();
        if (granularity.starts_with(prefix) && granularity.size() <= bytes_max) return granularity;
    }
    return granularity();
}

std::int64_t Fields::instant(std::string_view name) const {
    const boost::json::value& value = required(name);
    if (!value.is_string()) {
        constexpr auto max = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
        return static_cast<std::int64_t>(std::min(to_number(value, name), max));
    }
    const std::optional<std::int64_t> instant = unix_ms_from_time_or_day(value.get_string(), DayEnd::first);
    if (!instant) {
        refuse_instant(name);
    }
    // Nothing that is kept is older than 1970, and a number of seconds cannot say an earlier time.
    return std::max<std::int64_t>(*instant, 0) / 1000;
}

std::optional<std::int64_t> Fields::optional_instant_ms(std::string_view name, bool last) const {
    const boost::json::value* const value = find(name);
    if (value == nullptr || value->is_null()) {
        return std::nullopt;
    }
    constexpr std::int64_t rest_of_second = 999;
    if (!value->is_string()) {
        constexpr auto max = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max() / 1000 - 1);
        const auto seconds = static_cast<std::int64_t>(std::min(to_number(*value, name), max));
        return seconds * 1000 + (last ? rest_of_second : 0);
    }
    const std::string_view text = value->get_string();
    const std::optional<std::int64_t> instant =
        unix_ms_from_time_or_day(text, last ? DayEnd::last : DayEnd::first);
    if (!instant) {
        refuse_instant(name);
    }
    const bool names_second =
        text.find(':') != std::string_view::npos && text.find('.') == std::string_view::npos;
    return *instant + (last && names_second ? rest_of_second : 0);
}

std::optional<HistoryPoint> Fields::as_of() const {
    const boost::json::value* const value = find("as_of");
    if (value == nullptr || value->is_null()) {
        return std::nullopt;
    }
    if (!value->is_string()) {
        return HistoryPoint::at_lsn(to_number(*value, "as_of"));
    }
    const std::optional<HistoryPoint> point = history_point_from_text(value->get_string());
    if (!point) {
        refuse("as_of", "must be an LSN, " + std::string(time_or_day_forms));
    }
    return point;
}

std::size_t Fields::limit(std::size_t otherwise, std::size_t max) const {
    const std::uint64_t limit = optional_number("limit").value_or(otherwise);
    if (limit == 0 || limit > max) {
        refuse("limit", "must be from 1 to " + std::to_string(max));
    }
    return static_cast<std::size_t>(limit);
}

std::chrono::milliseconds Fields::wait_time() const {
    constexpr std::uint64_t wait_ms_max = 60'000;
    const std::uint64_t wait_ms = nullable_number("wait_ms").value_or(0);
    if (wait_ms > wait_ms_max) {
        refuse("wait_ms", "must be from 0 to " + std::to_string(wait_ms_max));
    }
    return std::chrono::milliseconds(wait_ms);
}

query::Page Fields::page(std::uint64_t limit_min) const {
    constexpr std::size_t limit_default = 1'000;
    constexpr std::size_t limit_max = 10'000;
    query::Page page;
    const boost::json::value* const cursor = find("cursor");
    if (cursor != nullptr && !cursor->is_null()) {
        if (!cursor->is_string()) {
            refuse("cursor", "must be a string or null");
        }
        page.cursor = cursor->get_string();
        page.limit = limit_default;
    }
    if (const std::optional<std::uint64_t> limit = optional_number("limit")) {
        if (*limit < limit_min || *limit > limit_max) {
            refuse("limit", "must be from " + std::to_string(limit_min) + " to " + std::to_string(limit_max));
        }
        page.limit = static_cast<std::size_t>(*limit);
    }
    return page;
}

std::uint64_t Fields::value() const {
    const std::uint64_t value = optional_number("value").value_or(1);
    if (value == 0) {
        refuse("value", "must be greater than 0");
    }
    return value;
}

Day Fields::bucket() const {
    if (const boost::json::value* const value = find("bucket")) {
        return to_day(*value, "bucket");
    }
    if (const boost::json::value* const value = find("date")) {
        return to_day(*value, "date");
    }
    return today;
}

Day Fields::day(std::string_view name, std::string_view other_name) const {
    const std::string_view given = has(name) || !has(other_name) ? name : other_name;
    return to_day(required(given), given);
}

Period Fields::range() const {
    const boost::json::value* const last = find("last");
    if (last == nullptr) {
        return to_range(required("range"));
    }
    if (has("range")) {
        refuse("last", "must not be given beside range");
    }
    const std::optional<Period> period =
        last->is_string() ? period_from_last(last->get_string()) : std::nullopt;
    if (!period) {
        refuse("last", "must be a number of days such as \"30d\": the series counts by UTC days");
    }
    return *period;
}

std::optional<Period> Fields::optional_range() const {
    return has("range") || has("last") ? std::optional(range()) : std::nullopt;
}

bool Fields::shows_totals() const {
    if (!has("reply")) {
        return false;
    }
    const std::string_view reply = text("reply");
    if (reply != "total" && reply != "value") {
        refuse("reply", "must be total or value");
    }
    return reply == "total";
}

std::span<const std::uint64_t> Fields::numbers(std::string_view name) const {
    const boost::json::array& values = array(name);
    const std::span<std::uint64_t> keys = allocate<std::uint64_t>(values.size());
    const std::string element = std::string(name) + "[]";
    for (std::size_t i = 0; i < keys.size(); ++i) {
        keys[i] = to_number(values[i], element);
    }
    return keys;
}

std::span<const mutation::Item> Fields::items(std::uint64_t value_min) const {
    const boost::json::array& values = array("items");
    const std::span<mutation::Item> items = allocate<mutation::Item>(values.size());
    for (std::size_t i = 0; i < items.size(); ++i) {
        items[i] = to_item(values[i], value_min);
    }
    return items;
}

std::span<const query::SeriesKey> Fields::series_keys() const {
    const boost::json::array& values = array("items");
    const std::span<query::SeriesKey> items = allocate<query::SeriesKey>(values.size());
    for (std::size_t i = 0; i < items.size(); ++i) {
        items[i] = to_series_key(to_object(values[i], "{\"series\", \"key\"}"));
    }
    return items;
}

std::span<const mutation::SeriesItem> Fields::series_items() const {
    const boost::json::array& values = array("items");
    if (values.empty()) {
        refuse("items", "must not be empty");
    }
    const std::span<mutation::SeriesItem> items = allocate<mutation::SeriesItem>(values.size());
    for (std::size_t i = 0; i < items.size(); ++i) {
        items[i] = to_series_item(to_object(values[i], "{\"series\", \"key\", \"bucket\", \"value\"}"));
    }
    return items;
}

std::string_view Fields::snapshot_file() const {
    const std::string_view file = text("file");
    if (file.find('/') != std::string_view::npos || file.find('\0') != std::string_view::npos) {
        refuse("file", "must be the base name of a snapshot");
    }
    if (!file.ends_with(".tree")) {
        refuse("file", "must end with .tree");
    }
    return file;
}

}  // namespace karma::net
