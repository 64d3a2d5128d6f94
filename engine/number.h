#pragma once

#include <cstdint>
#include <string>

namespace karma {

/// A total over many keys: the total of each key fits 64 bits, their sum may not.
__extension__ using Uint128 = unsigned __int128;
__extension__ using Int128 = __int128;

/// Decimal digits of a number.
std::string to_decimal(Uint128 number);

/// The log sequence number of an event: 1, 2, 3, ... without gaps; 0 stands for "before the first event".
using Lsn = std::uint64_t;

}  // namespace karma
