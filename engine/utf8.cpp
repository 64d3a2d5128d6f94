#include "engine/utf8.h"

#include <cstddef>
#include <cstdint>

namespace karma {
namespace {

/// The bytes of the character that a text begins with; 0 where it begins with none.
std::size_t character_size(std::string_view text) noexcept {
    const auto first = static_cast<unsigned char>(text.front());
    if (first < 0x80) {
        return 1;
    }
    const std::size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || text.size() < size) {
        return 0;
    }
    std::uint32_t code = first & (0x7FU >> size);
    for (std::size_t at = 1; at < size; ++at) {
        const auto byte = static_cast<unsigned char>(text[at]);
        if ((byte & 0xC0U) != 0x80) {
            return 0;
        }
        code = code << 6U | (byte & 0x3FU);
    }
    // No longer than needed, no half of a pair of UTF-16, nothing behind the last character.
    constexpr std::uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};
    const bool is_surrogate = code >= 0xD800 && code <= 0xDFFF;
    return code < lowest[size] || is_surrogate || code > 0x10FFFF ? 0 : size;
}

}  // namespace

bool is_utf8(std::string_view text) noexcept {
    while (!text.empty()) {
        const std::size_t size = character_size(text);
        if (size == 0) {
            return false;
        }
        text.remove_prefix(size);
    }
    return true;
}

std::string as_utf8(std::string_view text) {
    std::string valid;
    while (!text.empty()) {
        const std::size_t size = character_size(text);
        if (size == 0) {
            valid += "\xEF\xBF\xBD";
            text.remove_prefix(1);
        } else {
            valid += text.substr(0, size);
            text.remove_prefix(size);
        }
    }
    return valid;
}

std::string_view shortened_utf8(std::string_view text, std::size_t bytes_max) noexcept {
    if (text.size() <= bytes_max) {
        return text;
    }
    const auto continues = [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U; };
    std::size_t size = bytes_max;
    while (size != 0 && continues(text[size])) {
        --size;
    }
    return text.substr(0, size);
}

}  // namespace karma
