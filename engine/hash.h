#pragma once

#include <cstdint>
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

/// Where a key lives among the pages of its series. `seed` keeps clients from choosing keys that collide.
constexpr std::uint64_t hash_key(std::uint64_t key, std::uint64_t seed) noexcept { return mix64(key ^ seed); }

/// 64 bits of a text, the same on every machine.
constexpr std::uint64_t hash_text(std::string_view text, std::uint64_t seed) noexcept {
    std::uint64_t hash = mix64(seed ^ (text.size() * 0x9e3779b97f4a7c15ULL));
    std::uint64_t word = 0;
    unsigned filled = 0;
    for (const char c : text) {
        word |= static_cast<std::uint64_t>(static_cast<unsigned char>(c)) << (8 * filled);
        if (++filled == 8) {
            hash = mix64(hash ^ word) + 0x9e3779b97f4a7c15ULL;
            word = 0;
            filled = 0;
        }
    }
    return mix64(hash ^ word);
}

}  // namespace karma
