#pragma once

namespace karma {

/// Asks for the memory at an address, so that it is there in time.
inline void prefetch_memory(const void* address) noexcept {
    __builtin_prefetch(address);
    // To the compiler a function that does nothing else has no effect: it would leave the call out.
    asm volatile("" : : "r"(address));
}

}  // namespace karma
