#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <boost/json/value.hpp>

namespace karma::test {

namespace json = boost::json;

// As boost::json::parse, but no digit of an integer is lost: one that fits neither 64-bit type becomes
// big_integer(its digits). Throws std::runtime_error, with the text, when it is not one JSON value.
json::value parse_json(std::string_view text);

// What parse_json makes of an integer beyond 64 bits, to compare with.
json::value big_integer(std::string_view digits);

// The member of an object. Throws std::runtime_error, with the object, when it is none or has no such member.
const json::value& member(const json::value& object, std::string_view name);

// An integer from 0 to 2^64-1. Throws std::runtime_error, with the value, when it is something else.
std::uint64_t as_number(const json::value& value);

}  // namespace karma::test
