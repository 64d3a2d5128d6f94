#pragma once

#include <cstdint>

namespace karma::test {

// Allocations of the threads that count them, by operator new.
std::uint64_t counted_allocations() noexcept;

// Whether the calling thread counts its allocations, from here on.
void count_allocations_here(bool counts) noexcept;

// Of the calling thread: the allocation after `succeed` more fails, and with `all` those after it as well.
void fail_allocations_here(std::uint64_t succeed, bool all) noexcept;
// Ends that. Whether any has failed.
bool end_failing() noexcept;

// Leaves out what the calling thread allocates while one of these is there.
class Uncounted {
public:
    Uncounted() noexcept;
    Uncounted(const Uncounted&) = delete;
    Uncounted& operator=(const Uncounted&) = delete;
    ~Uncounted();

private:
    bool counted_before_;
    bool failed_before_;
};

}  // namespace karma::test
