#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace karma::perf {

// line: requests as for karma, and any line is a good reply.
enum class Protocol { karma, redis, line };

// What a request carries beside its series.
enum class Shape { nothing, key, key_and_value, keys, items };

struct Operation {
    std::string_view name;
    Shape shape;
    bool writes;
    bool hash = false;  // Redis: the series is a hash and the key its field, not two parts of one name

    bool batch() const { return shape == Shape::keys || shape == Shape::items; }
};

// The operations that a protocol has here.
std::span<const Operation> operations_of(Protocol protocol);

// Null when the protocol has none of that name. Upper and lower case differ for karma, not for redis.
const Operation* find_operation(Protocol protocol, std::string_view name);

}  // namespace karma::perf
