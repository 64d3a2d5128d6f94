#pragma once

#include <cstddef>
#include <functional>
#include <ucontext.h>

namespace karma::test {

// Work with a stack of its own, which runs in the thread that resumes it until it pauses: going from one to
// the other costs no wait of the kernel's. All of it belongs to one thread, whose `thread_local` objects all
// fibers share.
class Fiber {
public:
    // `work` throws nothing. Throws std::bad_alloc when there is no memory for a stack.
    explicit Fiber(std::function<void()> work);
    Fiber(const Fiber&) = delete;
    Fiber& operator=(const Fiber&) = delete;
    // One that has not ended leaves what lies on its stack as it is.
    ~Fiber();

    // Runs it until it pauses or ends. Not from a fiber.
    void resume();
    // Called by the work: back to who resumed it.
    void pause();

    bool has_ended() const noexcept { return has_ended_; }

private:
    // What the C++ runtime knows of exceptions that are thrown or caught just now, as in __cxa_eh_globals.
    struct Exceptions {
        void* caught = nullptr;
        unsigned int uncaught = 0;
    };
    static Exceptions exchange(const Exceptions& with);
    static void enter(unsigned int high, unsigned int low);
    void run();
    void after_switch(bool is_inside);

    std::function<void()> work_;
    std::byte* stack_;
    ucontext_t inside_{};
    ucontext_t outside_{};
    Exceptions exceptions_;
    bool has_ended_ = false;
    // For the sanitizers, which have to be told of another stack.
    void* fiber_of_tsan_ = nullptr;
    void* outside_of_tsan_ = nullptr;
    void* fake_stack_inside_ = nullptr;
    void* fake_stack_outside_ = nullptr;
    const void* stack_outside_ = nullptr;
    std::size_t stack_size_outside_ = 0;
};

}  // namespace karma::test
