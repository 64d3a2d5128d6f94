#include "tests/model/match.h"

#include <boost/json/serialize.hpp>

namespace karma::test::model {

namespace {

// No server sends these texts.
constexpr std::string_view any_mark = "\x01 any";
constexpr std::string_view time_mark = "\x01 time";
constexpr std::string_view instant_mark = "\x01 instant";
constexpr std::string_view beginning_mark = "\x01 from:";

const std::int64_t program_start = unix_now();

std::optional<std::string> differ(const json::value& expected, const json::value& actual,
                                  const std::string& path) {
    return path + ": expected " + shortened(json::serialize(expected), 600) + ", got " +
           shortened(json::serialize(actual), 600);
}

bool is_natural(const json::value& value) {
    return value.is_uint64() || (value.is_int64() && value.get_int64() >= 0);
}

bool matches_mark(std::string_view mark, const json::value& actual) {
    if (mark == any_mark) return true;
    if (mark == time_mark)
        return actual.is_int64() && actual.get_int64() >= program_start - 2 &&
               actual.get_int64() <= unix_now() + 2;
    if (mark == instant_mark) return actual.is_string() || is_natural(actual);
    return actual.is_string() && actual.get_string().starts_with(mark.substr(beginning_mark.size()));
}

std::optional<std::string> object_difference(const json::object& expected, const json::object& actual,
                                             const std::string& path) {
    for (const auto& [name, value] : expected) {
        const json::value* const found = actual.if_contains(name);
        if (found == nullptr) return path + ": no member " + std::string(name);
        if (auto found_difference = difference(value, *found, path + "." + std::string(name)))
            return found_difference;
    }
    for (const auto& entry : actual)
        if (!expected.contains(entry.key()))
            return path + ": unexpected member " + std::string(entry.key()) + " = " +
                   shortened(json::serialize(entry.value()), 200);
    return std::nullopt;
}

}  // namespace

json::value anything() { return json::value(any_mark); }
json::value recent_time() { return json::value(time_mark); }
json::value instant() { return json::value(instant_mark); }
json::value text_from(std::string_view beginning) {
    return json::value(std::string(beginning_mark) + std::string(beginning));
}

std::optional<std::string> difference(const json::value& expected, const json::value& actual,
                                      const std::string& path) {
    if (expected.is_string() && !expected.get_string().empty() && expected.get_string().front() == '\x01')
        return matches_mark(expected.get_string(), actual) ? std::nullopt : differ(expected, actual, path);
    if (is_natural(expected) && is_natural(actual))
        return as_number(expected) == as_number(actual) ? std::nullopt : differ(expected, actual, path);
    if (expected.kind() != actual.kind()) return differ(expected, actual, path);
    if (expected.is_object()) return object_difference(expected.get_object(), actual.get_object(), path);
    if (expected.is_array()) {
        const json::array& wanted = expected.get_array();
        const json::array& given = actual.get_array();
        for (std::size_t i = 0; i < wanted.size() && i < given.size(); ++i)
            if (auto found = difference(wanted[i], given[i], path + "[" + std::to_string(i) + "]"))
                return found;
        if (wanted.size() == given.size()) return std::nullopt;
        return path + ": expected " + std::to_string(wanted.size()) + " elements, got " +
               std::to_string(given.size());
    }
    return expected == actual ? std::nullopt : differ(expected, actual, path);
}

std::string shortened(std::string text, std::size_t limit) {
    if (text.size() > limit) text = text.substr(0, limit) + "... (" + std::to_string(text.size()) + " bytes)";
    return text;
}

}  // namespace karma::test::model
