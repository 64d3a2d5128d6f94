#pragma once

#include <cstdint>
#include <string_view>

namespace karma {

/// The CRC-32 as zlib computes it. `before` is the CRC-32 of the bytes in front, so that pieces can be added
/// one by one.
std::uint32_t crc32_of(std::string_view bytes, std::uint32_t before = 0) noexcept;

}  // namespace karma
