#pragma once

#include <cstdint>
#include <string>

#include "tests/support/json.h"
#include "tests/support/values.h"

namespace karma::test {

// The fields of a request that changes one counter.
inline json::object counter(const std::string& series, std::uint64_t key, std::uint64_t value) {
    return {{"series", series}, {"key", key}, {"bucket", some_bucket}, {"value", value}};
}

}  // namespace karma::test
