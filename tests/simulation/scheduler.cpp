#include "tests/simulation/scheduler.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

#include "engine/hash.h"
#include "tests/simulation/fiber.h"
#include "tests/support/settings.h"

namespace karma::test {
namespace {

thread_local Scheduler::Task* running_task = nullptr;

}  // namespace

class Scheduler::Task {
public:
    enum class State : std::uint8_t { ready, waiting, ended };

    Task(std::uint64_t number_of_this, std::function<void()> work)
        : number(number_of_this), fiber(std::move(work)) {}

    State state = State::ready;
    std::optional<Clock::time_point> until;  // while it waits
    std::uint64_t number;
    std::vector<Task*> joining;
    Fiber fiber;
};

namespace {

class SimulatedCondition final : public replica::Condition {
public:
    explicit SimulatedCondition(Scheduler& scheduler) : scheduler_(scheduler) {}

    void notify_all() noexcept override {
        for (Scheduler::Task* const task : waiting_) {
            scheduler_.wake(task);
        }
    }

    void wait(std::unique_lock<std::mutex>& lock, std::optional<std::chrono::milliseconds> time) override {
        waiting_.push_back(Scheduler::current());
        lock.unlock();
        scheduler_.wait(time ? std::optional(scheduler_.now() + *time) : std::nullopt);
        lock.lock();
        std::erase(waiting_, Scheduler::current());
    }

private:
    Scheduler& scheduler_;
    std::vector<Scheduler::Task*> waiting_;
};

}  // namespace

class SimulatedThread final : public replica::Thread {
public:
    SimulatedThread(Scheduler& scheduler, std::shared_ptr<Scheduler::Task> task)
        : scheduler_(scheduler), task_(std::move(task)) {}
    ~SimulatedThread() override { scheduler_.join(*task_); }

private:
    Scheduler& scheduler_;
    std::shared_ptr<Scheduler::Task> task_;
};

/// Ends the program when no step ends for a minute: whoever waits for anything else than simulated things, a
/// lock above all, stops all others.
class Scheduler::Watch {
public:
    explicit Watch(const Scheduler& scheduler) : seed_(scheduler.seed_), thread_([this] { watch(); }) {}
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    ~Watch() {
        {
            const std::lock_guard lock(mutex_);
            is_over_ = true;
        }
        ended_.notify_one();
        thread_.join();
    }

    void note_step() noexcept { steps_.fetch_add(1, std::memory_order_relaxed); }

private:
    void watch() {
        std::unique_lock lock(mutex_);
        std::uint64_t before = steps_.load(std::memory_order_relaxed);
        while (!ended_.wait_for(lock, patience(std::chrono::seconds(60)), [this] { return is_over_; })) {
            const std::uint64_t now = steps_.load(std::memory_order_relaxed);
            if (now == before) {
                std::fprintf(stderr,
                             "simulation: a thread waits for something that is not simulated: repeat it with "
                             "tests/simulate --seed %llu\n",
                             static_cast<unsigned long long>(seed_));
                std::_Exit(1);
            }
            before = now;
        }
    }

    const std::uint64_t seed_;
    std::atomic<std::uint64_t> steps_{0};
    std::mutex mutex_;
    std::condition_variable ended_;
    bool is_over_ = false;
    std::thread thread_;
};

Scheduler::Scheduler(std::uint64_t seed) : seed_(seed), random_(seed), now_(std::chrono::hours(1)) {}

Scheduler::~Scheduler() = default;

Scheduler::Task* Scheduler::current() noexcept { return running_task; }

std::uint64_t Scheduler::between(std::uint64_t low, std::uint64_t high) {
    return random_between(random_, low, high);
}

bool Scheduler::one_in(std::uint64_t count) { return between(1, count) == 1; }

std::unique_ptr<replica::Thread> Scheduler::start_thread(std::function<void()> work) {
    auto task = std::make_shared<Task>(action_count_++, [this, work = std::move(work)] {
        try {
            work();
        } catch (const std::exception& failure) {
            failure_ = std::string("a thread ended with: ") + failure.what();
        }
        Task& self = *current();
        for (Task* const other : self.joining) {
            wake(other);
        }
        self.state = Task::State::ended;
    });
    tasks_.push_back(task);
    return std::make_unique<SimulatedThread>(*this, std::move(task));
}

std::unique_ptr<replica::Condition> Scheduler::make_condition() {
    return std::make_unique<SimulatedCondition>(*this);
}

void Scheduler::join(Task& task) {
    while (current() != nullptr && task.state != Task::State::ended) {
        task.joining.push_back(current());
        wait(std::nullopt);
        std::erase(task.joining, current());
    }
}

void Scheduler::at(Clock::time_point time, std::function<void()> action) {
    actions_.push({time, action_count_++, std::move(action)});
}

void Scheduler::wake(Task* task) noexcept {
    if (task->state == Task::State::waiting) {
        task->state = Task::State::ready;
        task->until.reset();
    }
}

void Scheduler::sleep(std::chrono::microseconds time) { wait(now_ + time); }

void Scheduler::wait(std::optional<Clock::time_point> until) {
    Task& task = *current();
    task.state = Task::State::waiting;
    task.until = until;
    task.fiber.pause();
}

// ---- from outside

void Scheduler::switch_to(Task& task) {
    running_task = &task;
    task.fiber.resume();
    running_task = nullptr;
}

void Scheduler::run_actions() {
    while (!actions_.empty() && actions_.top().time <= now_) {
        const std::function<void()> run = actions_.top().run;
        actions_.pop();
        run();
    }
}

void Scheduler::wake_sleepers() {
    for (const std::shared_ptr<Task>& task : tasks_) {
        if (task->until && *task->until <= now_) {
            wake(task.get());
        }
    }
}

/// To the next thing that is due. False when there is none.
bool Scheduler::advance() {
    std::optional<Clock::time_point> next;
    if (!actions_.empty()) {
        next = actions_.top().time;
    }
    for (const std::shared_ptr<Task>& task : tasks_) {
        if (task->until && (!next || *task->until < *next)) {
            next = task->until;
        }
    }
    if (next) {
        now_ = std::max(now_, *next);
    }
    return next.has_value();
}

void Scheduler::run(std::uint64_t steps_max, std::chrono::seconds time_max) {
    const Clock::time_point end = now_ + time_max;
    Watch watch(*this);
    std::vector<Task*> ready;
    while (!tasks_.empty()) {
        run_actions();
        wake_sleepers();
        ready.clear();
        for (const std::shared_ptr<Task>& task : tasks_) {
            if (task->state == Task::State::ready) {
                ready.push_back(task.get());
            }
        }
        if (ready.empty()) {
            if (!advance()) {
                throw std::runtime_error("simulation: all threads wait for ever");
            }
            continue;
        }
        if (++steps_ > steps_max || now_ > end) {
            const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now_.time_since_epoch());
            throw std::runtime_error("simulation: it does not come to an end (at " +
                                     std::to_string(ms.count()) + " ms)");
        }
        Task& next = *ready[between(0, ready.size() - 1)];
        trace_ =
            mix64(trace_ ^ mix64(next.number)) + static_cast<std::uint64_t>(now_.time_since_epoch().count());
        switch_to(next);
        watch.note_step();
        std::erase_if(tasks_, [](const auto& task) { return task->state == Task::State::ended; });
        now_ += std::chrono::microseconds(between(1, 20));
    }
}

}  // namespace karma::test
