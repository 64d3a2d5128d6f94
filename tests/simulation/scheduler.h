#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "replica/runtime.h"

namespace karma::test {

// Simulated time and threads. Every thread is a fiber of the machine's one that calls `run`: it runs until it
// waits for something; a generator with a seed says which one is next, and time passes as it is told. The
// same seed gives the same run.
//
// `run` is called from outside; everything else from a simulated thread, or from outside while none runs.
class Scheduler final : public replica::Runtime {
public:
    using Clock = replica::Clock;
    class Task;

    explicit Scheduler(std::uint64_t seed);
    ~Scheduler() override;

    Clock::time_point now() const noexcept override { return now_; }
    std::unique_ptr<replica::Thread> start_thread(std::function<void()> work) override;
    std::unique_ptr<replica::Condition> make_condition() override;

    /// Calls `action`, which waits for nothing, from outside of all threads when the time has come.
    void at(Clock::time_point time, std::function<void()> action);

    /// Lets others run, for `time` if nothing wakes this thread before.
    void sleep(std::chrono::microseconds time);
    /// The same until `wake` is called with this thread's `current()`; with a time, no longer than that.
    void wait(std::optional<Clock::time_point> until);
    void wake(Task* task) noexcept;
    static Task* current() noexcept;

    /// Runs threads until all of them have ended. Throws std::runtime_error when none can go on, or when it
    /// takes more steps or more time than it may.
    void run(std::uint64_t steps_max, std::chrono::seconds time_max);

    /// An exception that ended a thread; empty where none did.
    const std::string& failure() const noexcept { return failure_; }
    std::uint64_t steps() const noexcept { return steps_; }
    /// Sums up all choices: equal for runs that were equal.
    std::uint64_t trace() const noexcept { return trace_; }

    /// Choices of the simulation, all from the one seed.
    std::mt19937_64& random() noexcept { return random_; }
    std::uint64_t between(std::uint64_t low, std::uint64_t high);
    bool one_in(std::uint64_t count);

private:
    friend class SimulatedThread;
    class Watch;

    struct Action {
        Clock::time_point time;
        std::uint64_t number = 0;  // of equal times the first one first
        std::function<void()> run;

        bool operator>(const Action& other) const noexcept {
            return time != other.time ? time > other.time : number > other.number;
        }
    };

    void switch_to(Task& task);
    void run_actions();
    void wake_sleepers();
    bool advance();
    void join(Task& task);

    const std::uint64_t seed_;
    std::mt19937_64 random_;
    Clock::time_point now_;
    std::vector<std::shared_ptr<Task>> tasks_;  // that have not ended
    std::priority_queue<Action, std::vector<Action>, std::greater<>> actions_;
    std::uint64_t action_count_ = 0;
    std::uint64_t steps_ = 0;
    std::uint64_t trace_ = 0;
    std::string failure_;
};

}  // namespace karma::test
