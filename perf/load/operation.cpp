#include "perf/load/operation.h"

#include <algorithm>
#include <array>

namespace karma::perf {

namespace {

constexpr std::array karma_operations = {
    Operation{"system.ping", Shape::nothing, false},
    Operation{"counter.increment", Shape::key_and_value, true},
    Operation{"counter.decrement", Shape::key_and_value, true},
    Operation{"counter.sum", Shape::key, false},
    Operation{"counter.batch_sum", Shape::keys, false},
    Operation{"series.batch_add", Shape::items, true},
    Operation{"series.batch_set", Shape::items, true},
};

constexpr std::array redis_operations = {
    Operation{"PING", Shape::nothing, false},   Operation{"INCRBY", Shape::key_and_value, true},
    Operation{"GET", Shape::key, false},        Operation{"HINCRBY", Shape::key_and_value, true, true},
    Operation{"HGET", Shape::key, false, true},
};

char upper(char letter) {
    return letter >= 'a' && letter <= 'z' ? static_cast<char>(letter - 'a' + 'A') : letter;
}

bool equal_ignoring_case(std::string_view left, std::string_view right) {
    return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                      [](char a, char b) { return upper(a) == upper(b); });
}

}  // namespace

std::span<const Operation> operations_of(Protocol protocol) {
    if (protocol == Protocol::redis) return redis_operations;
    return karma_operations;
}

const Operation* find_operation(Protocol protocol, std::string_view name) {
    for (const Operation& operation : operations_of(protocol)) {
        const bool found =
            protocol == Protocol::redis ? equal_ignoring_case(operation.name, name) : operation.name == name;
        if (found) return &operation;
    }
    return nullptr;
}

}  // namespace karma::perf
