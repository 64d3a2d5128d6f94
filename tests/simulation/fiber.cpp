#include "tests/simulation/fiber.h"

#include <cstdint>
#include <cstring>
#include <cxxabi.h>
#include <new>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace karma::test {
namespace {

constexpr std::size_t stack_bytes = std::size_t{1} << 20U;

// Stacks of fibers that have ended, for the next ones. Below each lies a page that cannot be touched.
class Stacks {
public:
    Stacks() = default;
    Stacks(const Stacks&) = delete;
    Stacks& operator=(const Stacks&) = delete;
    ~Stacks() {
        for (std::byte* const stack : free_) {
            ::munmap(stack - guard_bytes(), guard_bytes() + stack_bytes);
        }
    }

    std::byte* take() {
        if (!free_.empty()) {
            std::byte* const stack = free_.back();
            free_.pop_back();
            return stack;
        }
        void* const memory = ::mmap(nullptr, guard_bytes() + stack_bytes, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED || ::mprotect(memory, guard_bytes(), PROT_NONE) != 0) {
            throw std::bad_alloc();
        }
        return static_cast<std::byte*>(memory) + guard_bytes();
    }

    void give_back(std::byte* stack) { free_.push_back(stack); }

private:
    static std::size_t guard_bytes() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

    std::vector<std::byte*> free_;
};

Stacks& stacks() {
    static Stacks all;
    return all;
}

}  // namespace

Fiber::Fiber(std::function<void()> work) : work_(std::move(work)), stack_(stacks().take()) {
    ::getcontext(&inside_);
    inside_.uc_stack.ss_sp = stack_;
    inside_.uc_stack.ss_size = stack_bytes;
    inside_.uc_link = nullptr;
    // It passes numbers of 32 bits only.
    const auto self = reinterpret_cast<std::uintptr_t>(this);
    ::makecontext(&inside_, reinterpret_cast<void (*)()>(&Fiber::enter), 2,
                  static_cast<unsigned int>(self >> 32U), static_cast<unsigned int>(self));
#if defined(__SANITIZE_THREAD__)
    fiber_of_tsan_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
#if defined(__SANITIZE_THREAD__)
    __tsan_destroy_fiber(fiber_of_tsan_);
#endif
    if (has_ended_) {
        stacks().give_back(stack_);
    }
}

Fiber::Exceptions Fiber::exchange(const Exceptions& with) {
    Exceptions before;
    void* const globals = abi::__cxa_get_globals();
    std::memcpy(&before, globals, sizeof before);
    std::memcpy(globals, &with, sizeof with);
    return before;
}

void Fiber::enter(unsigned int high, unsigned int low) {
    const std::uintptr_t self = (std::uintptr_t{high} << 32U) | low;
    reinterpret_cast<Fiber*>(self)->run();  // NOLINT(performance-no-int-to-ptr): see makecontext
}

void Fiber::run() {
    after_switch(true);
    work_();
    has_ended_ = true;
    pause();
}

void Fiber::resume() {
    const Exceptions outside = exchange(exceptions_);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&fake_stack_outside_, stack_, stack_bytes);
#endif
#if defined(__SANITIZE_THREAD__)
    outside_of_tsan_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(fiber_of_tsan_, 0);
#endif
    ::swapcontext(&outside_, &inside_);
    after_switch(false);
    exceptions_ = exchange(outside);
}

void Fiber::pause() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(has_ended_ ? nullptr : &fake_stack_inside_, stack_outside_,
                                   stack_size_outside_);
#endif
#if defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(outside_of_tsan_, 0);
#endif
    ::swapcontext(&inside_, &outside_);
    after_switch(true);
}

void Fiber::after_switch([[maybe_unused]] bool is_inside) {
#if defined(__SANITIZE_ADDRESS__)
    if (is_inside) {
        __sanitizer_finish_switch_fiber(fake_stack_inside_, &stack_outside_, &stack_size_outside_);
    } else {
        __sanitizer_finish_switch_fiber(fake_stack_outside_, nullptr, nullptr);
    }
#endif
}

}  // namespace karma::test
