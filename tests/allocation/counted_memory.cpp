#include "tests/allocation/counted_memory.h"

#include <atomic>
#include <cstdlib>
#include <new>
#include <utility>

namespace {

std::atomic<std::uint64_t> allocations{0};
thread_local bool counts_here = false;
thread_local bool fails_here = false;
thread_local std::uint64_t left_to_succeed = 0;
thread_local bool fails_all = false;
thread_local bool has_failed_here = false;

bool is_to_fail() {
    if (left_to_succeed != 0) {
        --left_to_succeed;
        return false;
    }
    return fails_all || !has_failed_here;
}

void* allocate(std::size_t size, std::size_t alignment) {
    if (counts_here) allocations.fetch_add(1, std::memory_order_relaxed);
    if (fails_here && is_to_fail()) {
        has_failed_here = true;
        throw std::bad_alloc();
    }
    void* const memory = alignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__
                             ? std::malloc(size == 0 ? 1 : size)
                             : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}

}  // namespace

// The other forms call these. Where one of a pair is inlined and the other is not, the compiler takes them
// for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) { return allocate(size, 1); }
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
    return allocate(size, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t /*size*/) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t /*alignment*/) noexcept {
    std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t /*size*/,
                                       std::align_val_t /*alignment*/) noexcept {
    std::free(memory);
}

namespace karma::test {

std::uint64_t counted_allocations() noexcept { return allocations.load(std::memory_order_relaxed); }

void count_allocations_here(bool counts) noexcept { counts_here = counts; }

void fail_allocations_here(std::uint64_t succeed, bool all) noexcept {
    left_to_succeed = succeed;
    fails_all = all;
    has_failed_here = false;
    fails_here = true;
}

bool end_failing() noexcept {
    fails_here = false;
    return has_failed_here;
}

Uncounted::Uncounted() noexcept
    : counted_before_(std::exchange(counts_here, false)), failed_before_(std::exchange(fails_here, false)) {}

Uncounted::~Uncounted() {
    counts_here = counted_before_;
    fails_here = failed_before_;
}

}  // namespace karma::test
