#pragma once

#include <variant>

#include <doctest/doctest.h>

#include "engine/reply.h"

namespace karma::test {

// Why a request was refused; the test fails when it was not.
inline ErrorCode code_of(const Reply& reply) {
    REQUIRE(std::holds_alternative<Error>(reply));
    return std::get<Error>(reply).code;
}

}  // namespace karma::test
