#pragma once

#include <chrono>
#include <cstdint>

namespace karma::replica {

/// The machine's clock in Unix seconds, for what is shown to people.
inline std::uint64_t unix_now() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(now).count());
}

}  // namespace karma::replica
