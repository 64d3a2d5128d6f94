#include "cli/text.h"

#include "engine/utf8.h"

namespace karma::cli {

std::string quoted(std::string_view text, std::size_t max_bytes) {
    static constexpr std::string_view hex = "0123456789abcdef";
    std::string shown = "\"";
    for (const char byte : shortened_utf8(text, max_bytes)) {
        const auto code = static_cast<unsigned char>(byte);
        if (code < 0x20 || code == 0x7f) {
            shown += "\\x";
            shown += hex[code >> 4U];
            shown += hex[code & 15U];
        } else {
            shown += byte;
        }
    }
    if (text.size() > max_bytes) shown += "...";
    shown += '"';
    return shown;
}

std::string grouped(std::uint64_t number) {
    std::string text = std::to_string(number);
    for (std::size_t place = text.size(); place > 3;) {
        place -= 3;
        text.insert(place, 1, ',');
    }
    return text;
}

std::string counted(std::uint64_t number, std::string_view noun) {
    std::string text = std::to_string(number) + ' ';
    text += noun;
    if (number == 1) return text;
    // "batch" is the one noun here that takes more than an s.
    text += noun.ends_with("ch") ? "es" : "s";
    return text;
}

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view white = " \t\r\n";
    const auto first = text.find_first_not_of(white);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(white) - first + 1);
}

}  // namespace karma::cli
