#include "tests/program/points.h"

#include <charconv>
#include <stdexcept>

#include <boost/json/serialize.hpp>

namespace karma::test {

namespace {

const json::object year_2026{{"from", 20260101}, {"to", 20261231}};

std::uint64_t number_of(std::string_view digits) {
    std::uint64_t number = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return number;
}

void take_days(std::uint64_t key, const json::value& days, Points& points) {
    for (const auto& day : days.as_object()) {
        points[{key, static_cast<std::uint32_t>(number_of(day.key()))}] = as_number(day.value());
    }
}

std::string text_of(const Point& point) {
    return "key " + std::to_string(point.first) + ", bucket " + std::to_string(point.second);
}

std::uint64_t value_at(const Points& points, const Point& point) {
    const auto found = points.find(point);
    return found == points.end() ? 0 : found->second;
}

}  // namespace

Points read_points(Client& client, const std::string& series) {
    const json::value reply = client.ask("tree.series", {{"series", series}, {"range", year_2026}});
    Points points;
    if (member(reply, "error_code") == json::value("not_found")) return points;
    for (const auto& entry : member(reply, "response").as_object())
        take_days(number_of(entry.key()), entry.value(), points);
    return points;
}

State read_state(Client& client) {
    State state;
    const json::value names = client.call("tree.list");
    for (const json::value& name : names.as_array()) {
        const std::string series(name.as_string());
        Points points = read_points(client, series);
        if (!points.empty()) state.emplace(series, std::move(points));
    }
    return state;
}

Points read_points_by_key(Client& client, const std::string& series, const json::array& keys) {
    Points points;
    json::array sums;
    for (const json::value& key : keys) {
        Points own;
        take_days(as_number(key),
                  client.call("counter.series", {{"series", series}, {"key", key}, {"range", year_2026}}),
                  own);
        std::uint64_t sum = 0;
        for (const auto& entry : own) sum += entry.second;
        const json::value total = client.call("counter.sum", {{"series", series}, {"key", key}});
        if (as_number(total) != sum) {
            throw std::runtime_error("counter.sum of key " + json::serialize(key) + " is " +
                                     json::serialize(total) + ", its buckets hold " + std::to_string(sum));
        }
        sums.push_back(json::object{{"key", key}, {"value", sum}});
        points.merge(own);
    }
    const json::value found = client.call("counter.batch_sum", {{"series", series}, {"keys", keys}});
    if (found != sums) {
        throw std::runtime_error("counter.batch_sum gives " + json::serialize(found) + ", the buckets hold " +
                                 json::serialize(sums));
    }
    return points;
}

std::string first_difference(const Points& wanted, const Points& found) {
    const auto difference = [&](const Point& point) {
        return text_of(point) + ": " + std::to_string(value_at(found, point)) + " instead of " +
               std::to_string(value_at(wanted, point));
    };
    for (const auto& entry : wanted) {
        if (value_at(found, entry.first) != entry.second) return difference(entry.first);
    }
    for (const auto& entry : found) {
        if (value_at(wanted, entry.first) != entry.second) return difference(entry.first);
    }
    return {};
}

std::string first_difference(const State& wanted, const State& found) {
    static const Points none;
    const auto points_of = [](const State& state, const std::string& series) -> const Points& {
        const auto at = state.find(series);
        return at == state.end() ? none : at->second;
    };
    for (const State* const each : {&wanted, &found}) {
        for (const auto& entry : *each) {
            const std::string& series = entry.first;
            const std::string difference =
                first_difference(points_of(wanted, series), points_of(found, series));
            if (!difference.empty()) return std::string("series ").append(series).append(", ") += difference;
        }
    }
    return {};
}

void add_points(const State& more, State& state) {
    for (const auto& [series, points] : more) {
        for (const auto& [point, value] : points) state[series][point] += value;
    }
}

}  // namespace karma::test
