#include "tests/simulation/scheduler.h"

#include <algorithm>
#include <stdexcept>
#include <thread>
#include <utility>

#include "engine/hash.h"
#include "tests/support/settings.h"

namespace karma::test {
namespace {

thread_local Scheduler::Task* running_task = nullptr;

}  // namespace

class Scheduler::Task {
public:
    enum class State : std::uint8_t { ready, waiting, ended };

    State state = State::ready;
    std::optional<Clock::time_point> until;  // while it waits
    std::uint64_t number = 0;
    std::vector<Task*> joining;
    std::condition_variable turn;
    bool has_turn = false;
    std::thread thread;
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

Scheduler::Scheduler(std::uint64_t seed) : random_(seed), now_(std::chrono::hours(1)) {}

Scheduler::~Scheduler() = default;

Scheduler::Task* Scheduler::current() noexcept { return running_task; }

std::uint64_t Scheduler::between(std::uint64_t low, std::uint64_t high) {
    return random_between(random_, low, high);
}

bool Scheduler::one_in(std::uint64_t count) { return between(1, count) == 1; }

std::unique_ptr<replica::Thread> Scheduler::start_thread(std::function<void()> work) {
    auto task = std::make_shared<Task>();
    task->number = action_count_++;
    task->thread = std::thread([this, raw = task.get(), work = std::move(work)] {
        running_task = raw;
        {
            std::unique_lock lock(mutex_);
            raw->turn.wait(lock, [&] { return raw->has_turn; });
        }
        try {
            work();
        } catch (const std::exception& failure) {
            failure_ = std::string("a thread ended with: ") + failure.what();
        }
        for (Task* const other : raw->joining) {
            wake(other);
        }
        const std::lock_guard lock(mutex_);
        raw->state = Task::State::ended;
        task_runs_ = false;
        returned_.notify_one();
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
    task.thread.join();
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
    std::unique_lock lock(mutex_);
    task.state = Task::State::waiting;
    task.until = until;
    task.has_turn = false;
    task_runs_ = false;
    returned_.notify_one();
    task.turn.wait(lock, [&] { return task.has_turn; });
}

// ---- from outside

void Scheduler::switch_to(Task& task) {
    std::unique_lock lock(mutex_);
    task_runs_ = true;
    task.has_turn = true;
    task.turn.notify_one();
    // What waits for anything else than simulated things would stop all.
    if (!returned_.wait_for(lock, patience(std::chrono::seconds(60)), [this] { return !task_runs_; })) {
        throw std::runtime_error("simulation: a thread waits for something that is not simulated");
    }
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
            throw std::runtime_error("simulation: it does not come to an end");
        }
        Task& next = *ready[between(0, ready.size() - 1)];
        trace_ =
            mix64(trace_ ^ mix64(next.number)) + static_cast<std::uint64_t>(now_.time_since_epoch().count());
        switch_to(next);
        std::erase_if(tasks_, [](const auto& task) { return task->state == Task::State::ended; });
        now_ += std::chrono::microseconds(between(1, 20));
    }
}

}  // namespace karma::test
