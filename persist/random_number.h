#pragma once

#include <cstdint>
#include <random>

namespace karma {

/// 64 unpredictable random bits.
inline std::uint64_t random_number() {
    std::random_device device;
    return (std::uint64_t{device()} << 32U) | device();
}

}  // namespace karma
