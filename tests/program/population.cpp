#include "tests/program/population.h"

#include <stdexcept>
#include <utility>

#include "tests/support/client.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

constexpr std::uint64_t keys_per_producer = 1000;
constexpr std::uint64_t own_key_count = 6;
constexpr std::uint64_t shared_key_count = 3;  // from 0

// As clients make them: words, numbers, long ones, ones that JSON has to escape. A number is the same key as
// its digits.
std::array<json::value, 2> random_idempotency_key(std::uint64_t unique, std::mt19937_64& random) {
    const std::string digits = std::to_string(unique);
    switch (random_between(random, 0, 7)) {
        case 0: return {json::value(unique), json::value(digits)};
        case 1:
            return {json::value(digits + std::string(200, 'k')), json::value(digits + std::string(200, 'k'))};
        case 2: return {json::value("\"\\\n\u00e9 " + digits), json::value("\"\\\n\u00e9 " + digits)};
        default: return {json::value("p" + digits), json::value("p" + digits)};
    }
}

// Refused for its fields, or for what it would do: its sum passes 2^64-1.
std::string refused_line(const json::value& idempotency_key, std::mt19937_64& random) {
    json::object fields{{"series", shared_series[0]}, {"idempotency_key", idempotency_key}};
    if (one_in(random, 2)) {
        fields["key"] = 1;
        fields["value"] = 0;
        return request("counter.increment", fields);
    }
    const std::vector<Operation::Item> items{{.key = 1, .bucket = 20260105, .value = ~std::uint64_t{0}},
                                             {.key = 1, .bucket = 20260106, .value = 1}};
    fields["items"] = to_json(items);
    return request("series.batch_add", fields);
}

}  // namespace

const std::array<std::string, 2> shared_series = {"links", "clicks"};

bool is_shared_key(std::uint64_t key) { return key < shared_key_count; }

std::vector<Operation::Item> random_shared_items(std::mt19937_64& random, std::size_t count) {
    std::vector<std::uint64_t> keys(shared_key_count);
    for (std::uint64_t key = 0; key < shared_key_count; ++key) keys[key] = key;
    return random_items(random, keys, count, 1);
}

Estate::Estate(std::uint64_t its_number) : number(its_number), series("own-" + std::to_string(its_number)) {
    for (std::uint64_t i = 0; i < own_key_count; ++i) keys.push_back(number * keys_per_producer + i);
}

bool Estate::owns(const std::string& in_series, std::uint64_t key) const {
    const bool shared = in_series == shared_series[0] || in_series == shared_series[1];
    return in_series == series || (shared && key / keys_per_producer == number);
}

State Estate::part_of(const State& state) const {
    State own;
    for (const auto& [name_of_series, points] : state) {
        for (const auto& [point, value] : points) {
            if (owns(name_of_series, point.first)) own[name_of_series][point] = value;
        }
    }
    return own;
}

void check_own_sum(Lane& lane, const Estate& estate, const State& own, std::mt19937_64& random) {
    const std::string& series = one_in(random, 2) ? estate.series : shared_series[0];
    const std::uint64_t key = estate.keys[random_between(random, 0, estate.keys.size() - 1)];
    // A series that nobody has made is not found.
    lane.call("tree.create", {{"series", series}});
    std::uint64_t wanted = 0;
    if (const auto points = own.find(series); points != own.end()) {
        for (const auto& [point, value] : points->second) wanted += point.first == key ? value : 0;
    }
    const std::uint64_t sum = as_number(lane.call("counter.sum", {{"series", series}, {"key", key}}));
    if (sum != wanted) {
        throw std::runtime_error("series " + series + ", key " + std::to_string(key) + ": the sum is " +
                                 std::to_string(sum) + " instead of " + std::to_string(wanted));
    }
}

std::shared_ptr<KeyedRequest> make_keyed_request(const Operation& operation, json::value response,
                                                 std::uint64_t unique, std::mt19937_64& random) {
    const auto keys = random_idempotency_key(unique, random);
    const json::object key{{"idempotency_key", keys[0]}};
    const json::object same_key{{"idempotency_key", keys[1]}};
    json::object asserted = key;
    asserted["fingerprint"] = "that of another payload";
    KeyedLines lines{{spell(operation, key, random), spell(operation, same_key, random)},
                     {spell(altered(operation, random), key, random), spell(operation, asserted, random)},
                     {}};
    if (operation.kind != Operation::Kind::increment) {
        const Operation increment{
            Operation::Kind::increment, shared_series[0], random_shared_items(random, 1), {}};
        lines.conflicting.push_back(spell(increment, same_key, random));
    }
    lines.invalid = refused_line(keys[0], random);
    return std::make_shared<KeyedRequest>(std::move(lines), std::move(response));
}

}  // namespace karma::test
