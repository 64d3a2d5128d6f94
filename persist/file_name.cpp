#include "persist/file_name.h"

#include <cstdio>

#include "engine/hash.h"

namespace karma {

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
    // Names have 255 bytes at most, and something goes before and behind.
    constexpr std::size_t longest = 200;
    if (name.size() > longest) {
        const std::uint64_t hash = hash_text(series, 0);
        name.resize(longest - 20);
        name += "~" + std::to_string(hash);
    }
    return name;
}

}  // namespace karma
