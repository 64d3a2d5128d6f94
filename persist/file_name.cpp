#include "persist/file_name.h"

#include <charconv>
#include <cstdio>

#include "engine/hash.h"

namespace karma {

namespace {

// Names have 255 bytes at most, and something goes before and behind.
constexpr std::size_t longest = 200;

}  // namespace

std::string file_name_of(std::string_view series) {
    std::string name;
    for (const char c : series) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7F || c == '/' || c == '\\' || c == '%' || (c == '.' && name.empty())) {
            char escaped[4];
            std::snprintf(escaped, sizeof escaped, "%%%02X", byte);
            name += escaped;
        } else {
            name += c;
        }
    }
    if (name.size() > longest) {
        const std::uint64_t hash = hash_text(series, 0);
        // Not within a character of UTF-8.
        std::size_t size = longest - 20;
        while (size != 0 && (static_cast<unsigned char>(name[size]) & 0xC0U) == 0x80U) {
            --size;
        }
        name.resize(size);
        name += "~" + std::to_string(hash);
    }
    return name;
}

std::optional<std::string> series_of_file_name(std::string_view name) {
    std::string series;
    for (std::size_t at = 0; at < name.size(); ++at) {
        if (name[at] != '%') {
            series.push_back(name[at]);
            continue;
        }
        unsigned byte = 0;
        const char* const digits = name.data() + at + 1;
        if (name.size() - at < 3 || std::from_chars(digits, digits + 2, byte, 16).ptr != digits + 2) {
            return std::nullopt;
        }
        series.push_back(static_cast<char>(byte));
        at += 2;
    }
    return file_name_of(series) == name ? std::optional(std::move(series)) : std::nullopt;
}

}  // namespace karma
