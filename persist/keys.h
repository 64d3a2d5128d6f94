#pragma once

#include <cstdint>
#include <string>
#include <string_view>

/// Keys of records that sort as the numbers in them do.
namespace karma {

/// Appends the lowest `bytes` bytes of a number, the highest one first.
inline void append_big_endian(std::string& out, std::uint64_t number, unsigned bytes = 8) {
    for (unsigned i = bytes; i-- > 0;) {
        out.push_back(static_cast<char>(number >> (8 * i)));
    }
}

inline std::string big_endian(std::uint64_t number) {
    std::string out;
    append_big_endian(out, number);
    return out;
}

/// The number in the last bytes of a key, or in all of them where they are fewer than 8.
inline std::uint64_t from_big_endian(std::string_view bytes) noexcept {
    std::uint64_t number = 0;
    for (const char c : bytes) {
        number = (number << 8U) | static_cast<unsigned char>(c);
    }
    return number;
}

/// The smallest key above all that begin with `prefix`; empty where there is none.
inline std::string prefix_end(std::string_view prefix) {
    std::string end(prefix);
    while (!end.empty()) {
        if (static_cast<unsigned char>(end.back()) != 0xFF) {
            end.back() = static_cast<char>(end.back() + 1);
            return end;
        }
        end.pop_back();
    }
    return end;
}

}  // namespace karma
