#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace karma {

/// A bijective mix of 64 bits in which every input bit moves every output bit (the finaliser of MurmurHash3,
/// public domain, by Austin Appleby).
constexpr std::uint64_t mix64(std::uint64_t x) noexcept {
    x ^= x >> 33U;
    x *= 0xff51afd7ed558ccdULL;
    x ^= x >> 33U;
    x *= 0xc4ceb9fe1a85ec53ULL;
    x ^= x >> 33U;
    return x;
}

/// The hash that places a key among the pages of its series. `seed` prevents clients from choosing keys that
/// collide.
constexpr std::uint64_t hash_key(std::uint64_t key, std::uint64_t seed) noexcept { return mix64(key ^ seed); }

/// Up to eight bytes of a text as a number, the first one lowest; the same on every machine.
inline std::uint64_t word_of(const char* text, std::size_t bytes) noexcept {
    std::uint64_t word = 0;
    if constexpr (std::endian::native == std::endian::little) {
        std::memcpy(&word, text, bytes);
    } else {
        for (std::size_t i = 0; i < bytes; ++i) {
            word |= static_cast<std::uint64_t>(static_cast<unsigned char>(text[i])) << (8 * i);
        }
    }
    return word;
}

/// 64 bits of a text, the same on every machine.
inline std::uint64_t hash_text(std::string_view text, std::uint64_t seed) noexcept {
    std::uint64_t hash = mix64(seed ^ (text.size() * 0x9e3779b97f4a7c15ULL));
    while (text.size() >= sizeof hash) {
        hash = mix64(hash ^ word_of(text.data(), sizeof hash)) + 0x9e3779b97f4a7c15ULL;
        text.remove_prefix(sizeof hash);
    }
    return mix64(hash ^ word_of(text.data(), text.size()));
}

}  // namespace karma
