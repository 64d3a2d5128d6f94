#include "tests/program/operation.h"

#include <algorithm>
#include <array>

#include "tests/support/client.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

using Kind = Operation::Kind;
using Item = Operation::Item;

constexpr std::uint32_t first_random_bucket = 20260101;
constexpr std::uint32_t bucket_count = 14;

std::uint32_t random_bucket(std::mt19937_64& random) {
    return static_cast<std::uint32_t>(first_random_bucket + random_between(random, 0, bucket_count - 1));
}

std::uint64_t random_key(std::mt19937_64& random, const std::vector<std::uint64_t>& keys) {
    return keys[random_between(random, 0, keys.size() - 1)];
}

// Removes the points of the key in the range; false when there are none.
bool erase(Points& points, std::uint64_t key, std::uint32_t from, std::uint32_t to) {
    const auto begin = points.lower_bound({key, from});
    const auto end = points.upper_bound({key, to});
    const bool found = begin != end;
    points.erase(begin, end);
    return found;
}

bool has_points(const Points& points, std::uint64_t key) {
    const auto at = points.lower_bound({key, 0});
    return at != points.end() && at->first.first == key;
}

void change(Kind kind, const Item& item, Points& points) {
    const Point point{item.key, item.bucket};
    std::uint64_t& value = points[point];
    switch (kind) {
        case Kind::decrement: value -= std::min(value, item.value); break;
        case Kind::batch_set: value = item.value; break;
        default: value += item.value; break;
    }
    if (value == 0) points.erase(point);
}

json::object reset_keys(const Operation& operation, Points& points) {
    std::uint64_t reset = 0;
    for (const std::uint64_t key : operation.keys) reset += erase(points, key, 0, 99999999) ? 1 : 0;
    return {{"reset", reset}, {"missing", operation.keys.size() - reset}};
}

json::object delete_ranges(const Operation& operation, Points& points) {
    std::uint64_t deleted = 0;
    std::uint64_t missing = 0;
    for (const std::uint64_t key : operation.keys) {
        if (!has_points(points, key)) {
            ++missing;
        } else if (erase(points, key, operation.from, operation.to)) {
            ++deleted;
        }
    }
    return {{"deleted", deleted}, {"missing", missing}};
}

json::value execute(const Operation& operation, Points& points) {
    std::uint64_t total = 0;
    for (const Item& item : operation.items) {
        change(operation.kind, item, points);
        total += item.value;
    }
    switch (operation.kind) {
        case Kind::increment:
        case Kind::decrement: return total;
        case Kind::batch_add: return json::object{{"applied", operation.items.size()}, {"total", total}};
        case Kind::batch_set: return json::object{{"applied", operation.items.size()}};
        case Kind::reset: erase(points, operation.keys.front(), 0, 99999999); return "OK";
        case Kind::batch_reset: return reset_keys(operation, points);
        case Kind::delete_range:
            erase(points, operation.keys.front(), operation.from, operation.to);
            return true;
        case Kind::batch_delete_range: return delete_ranges(operation, points);
        case Kind::reset_series: points.clear(); return "OK";
        case Kind::delete_series_range:
            std::erase_if(points, [&](const auto& entry) {
                return entry.first.second >= operation.from && entry.first.second <= operation.to;
            });
            return true;
    }
    return nullptr;
}

// The name of the op, or its alias.
const char* op_of(Kind kind, std::mt19937_64& random) {
    switch (kind) {
        case Kind::increment: return one_in(random, 3) ? "series.increment" : "counter.increment";
        case Kind::decrement: return "counter.decrement";
        case Kind::batch_add: return one_in(random, 3) ? "counter.batch_increment" : "series.batch_add";
        case Kind::batch_set: return "series.batch_set";
        case Kind::reset: return "counter.reset";
        case Kind::batch_reset: return "counter.batch_reset";
        case Kind::delete_range: return "counter.delete_range";
        case Kind::batch_delete_range: return "counter.batch_delete_range";
        case Kind::reset_series: return "tree.reset";
        case Kind::delete_series_range: return "tree.delete_range";
    }
    return "";
}

json::value spell_day(std::uint32_t day, std::mt19937_64& random) {
    const std::string digits = std::to_string(day);
    switch (random_between(random, 0, 5)) {
        case 0: return json::value(digits);
        case 1: return json::value(digits.substr(0, 4) + "-" + digits.substr(4, 2) + "-" + digits.substr(6));
        default: return day;
    }
}

json::object fields_of(const Operation& operation, std::mt19937_64& random) {
    json::object fields;
    fields[one_in(random, 4) ? "tree" : "series"] = operation.series;
    switch (operation.kind) {
        case Kind::increment:
        case Kind::decrement: {
            const Item& item = operation.items.front();
            fields["key"] = item.key;
            fields[one_in(random, 4) ? "date" : "bucket"] = spell_day(item.bucket, random);
            if (item.value != 1 || one_in(random, 2)) fields["value"] = item.value;
            break;
        }
        case Kind::batch_add:
        case Kind::batch_set: {
            json::array& items = fields["items"].emplace_array();
            for (const Item& item : operation.items)
                items.push_back(json::array{item.key, spell_day(item.bucket, random), item.value});
            break;
        }
        case Kind::reset:
        case Kind::delete_range: fields["key"] = operation.keys.front(); break;
        case Kind::batch_reset:
        case Kind::batch_delete_range:
            fields["keys"] = json::array(operation.keys.begin(), operation.keys.end());
            break;
        default: break;
    }
    if (operation.from != 0) fields["range"] = {{"from", operation.from}, {"to", operation.to}};
    return fields;
}

}  // namespace

std::vector<Item> random_items(std::mt19937_64& random, const std::vector<std::uint64_t>& keys,
                               std::size_t count, std::uint64_t value_min) {
    std::vector<Item> items;
    for (std::size_t i = 0; i < count; ++i) {
        items.push_back({.key = random_key(random, keys),
                         .bucket = random_bucket(random),
                         .value = random_between(random, value_min, 1000)});
    }
    return items;
}

Operation random_operation(std::mt19937_64& random, const std::string& series,
                           const std::vector<std::uint64_t>& keys, bool whole_series) {
    // What adds comes more often, so that there is something to remove.
    constexpr std::array kinds = {Kind::increment,    Kind::increment,          Kind::increment,
                                  Kind::decrement,    Kind::batch_add,          Kind::batch_add,
                                  Kind::batch_add,    Kind::batch_set,          Kind::batch_set,
                                  Kind::reset,        Kind::batch_reset,        Kind::delete_range,
                                  Kind::delete_range, Kind::batch_delete_range, Kind::batch_delete_range,
                                  Kind::reset_series, Kind::delete_series_range};
    const std::size_t choices = whole_series ? kinds.size() : kinds.size() - 2;
    Operation operation{kinds.at(random_between(random, 0, choices - 1)), series, {}, {}};
    switch (operation.kind) {
        case Kind::increment:
        case Kind::decrement: operation.items = random_items(random, keys, 1, 1); break;
        case Kind::batch_add:
            operation.items = random_items(random, keys, random_between(random, 1, 20), 1);
            break;
        case Kind::batch_set:
            operation.items = random_items(random, keys, random_between(random, 1, 20), 0);
            break;
        case Kind::reset:
        case Kind::delete_range: operation.keys = {random_key(random, keys)}; break;
        case Kind::batch_reset:
        case Kind::batch_delete_range:
            for (std::uint64_t left = random_between(random, 1, 4); left > 0; --left)
                operation.keys.push_back(random_key(random, keys));
            break;
        default: break;
    }
    if (operation.kind == Kind::delete_range || operation.kind == Kind::batch_delete_range ||
        operation.kind == Kind::delete_series_range) {
        operation.from = random_bucket(random);
        operation.to = operation.from + static_cast<std::uint32_t>(random_between(random, 0, 5));
    }
    return operation;
}

json::value execute(const Operation& operation, State& state) {
    Points& points = state[operation.series];
    json::value response = execute(operation, points);
    if (points.empty()) state.erase(operation.series);
    return response;
}

json::array to_json(const std::vector<Item>& items) {
    json::array array;
    for (const Item& item : items) array.push_back(json::array{item.key, item.bucket, item.value});
    return array;
}

std::string spell(const Operation& operation, const json::object& extra, std::mt19937_64& random) {
    json::object fields = fields_of(operation, random);
    for (const auto& field : extra) fields[field.key()] = field.value();
    std::vector<std::string> names;
    for (const auto& field : fields) names.emplace_back(field.key());
    if (one_in(random, 3)) std::shuffle(names.begin(), names.end(), random);
    json::object ordered;
    for (const std::string& name : names) ordered[name] = fields[name];
    return request(op_of(operation.kind, random), ordered);
}

Operation altered(const Operation& operation, std::mt19937_64& random) {
    Operation other = operation;
    if (!other.items.empty()) {
        Item& item = other.items[random_between(random, 0, other.items.size() - 1)];
        ++(one_in(random, 2) ? item.value : item.key);
    } else if (!other.keys.empty()) {
        ++other.keys[random_between(random, 0, other.keys.size() - 1)];
    } else {
        other.series += "-other";
    }
    return other;
}

}  // namespace karma::test
