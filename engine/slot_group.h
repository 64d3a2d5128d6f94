#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace karma {

/// Eight neighbouring entries of a page's hash table, compared together: the length of a search is
/// unpredictable, so a branch for each entry would be mispredicted once in nearly every search. An entry has
/// its
/// tag in its lowest 8 bits and is 0 where it is free.
class SlotGroup {
public:
    static constexpr std::uint32_t size = 8;

    /// Finds the entries with this tag in front of the first free one.
    SlotGroup(const std::uint32_t* slots, std::uint32_t tag) noexcept {
        unsigned same = 0;
        unsigned free = 0;
#ifdef __SSE2__
        const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(slots));
        const __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(slots + 4));
        const __m128i tag_bits = _mm_set1_epi32(0xFF);
        const __m128i wanted = _mm_set1_epi32(static_cast<int>(tag));
        same = bits(_mm_cmpeq_epi32(_mm_and_si128(low, tag_bits), wanted),
                    _mm_cmpeq_epi32(_mm_and_si128(high, tag_bits), wanted));
        free = bits(_mm_cmpeq_epi32(low, _mm_setzero_si128()), _mm_cmpeq_epi32(high, _mm_setzero_si128()));
#else
        for (unsigned i = 0; i < size; ++i) {
            same |= static_cast<unsigned>((slots[i] & 0xFFU) == tag) << i;
            free |= static_cast<unsigned>(slots[i] == 0) << i;
        }
#endif
        has_free_ = free != 0;
        candidates_ = same & ((free & (0U - free)) - 1U);
    }

    bool has_candidate() const noexcept { return candidates_ != 0; }
    /// The place of the next one, from 0 on.
    std::uint32_t take_candidate() noexcept {
        const auto place = static_cast<std::uint32_t>(std::countr_zero(candidates_));
        candidates_ &= candidates_ - 1;
        return place;
    }
    /// Whether the search ends here.
    bool has_free() const noexcept { return has_free_; }

private:
#ifdef __SSE2__
    static unsigned bits(__m128i low, __m128i high) noexcept {
        return static_cast<unsigned>(_mm_movemask_ps(_mm_castsi128_ps(low))) |
               static_cast<unsigned>(_mm_movemask_ps(_mm_castsi128_ps(high))) << 4U;
    }
#endif

    unsigned candidates_ = 0;
    bool has_free_ = false;
};

}  // namespace karma
