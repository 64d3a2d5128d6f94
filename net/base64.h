#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace karma::net {

/// Bytes that `append_base64` adds for so many.
constexpr std::size_t base64_size(std::size_t bytes) noexcept { return (bytes + 2) / 3 * 4; }

/// Appends the bytes in base64 with padding (RFC 4648, section 4). Pieces of a longer text must have a
/// multiple of 3 bytes, but for the last one.
void append_base64(std::string_view bytes, std::string& out);

/// The bytes of such a text; nothing when it is none.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace karma::net
