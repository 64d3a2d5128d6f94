#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace karma::cli {

/// Foreign text for a message: in double quotes, control characters escaped, cut after `max_bytes` bytes
/// at most, not within a character.
std::string quoted(std::string_view text, std::size_t max_bytes = 60);

/// A number with thousands separated: 1,234,567.
std::string grouped(std::uint64_t number);

/// "1 row", "2 rows".
std::string counted(std::uint64_t number, std::string_view noun);

/// Without white space (space, tab, newline, carriage return) at both ends.
std::string_view trimmed(std::string_view text);

}  // namespace karma::cli
