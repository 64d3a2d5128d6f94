#include "replica/runtime.h"

#include <condition_variable>
#include <thread>
#include <utility>

namespace karma::replica {
namespace {

class MachineThread final : public Thread {
public:
    explicit MachineThread(std::function<void()> work) : thread_(std::move(work)) {}
    ~MachineThread() override { thread_.join(); }

private:
    std::thread thread_;
};

class MachineCondition final : public Condition {
public:
    void notify_all() noexcept override { changed_.notify_all(); }
    void wait(std::unique_lock<std::mutex>& lock, std::optional<std::chrono::milliseconds> time) override {
        if (time) {
            changed_.wait_for(lock, *time);
        } else {
            changed_.wait(lock);
        }
    }

private:
    std::condition_variable changed_;
};

class MachineRuntime final : public Runtime {
public:
    Clock::time_point now() const noexcept override { return Clock::now(); }
    std::unique_ptr<Thread> start_thread(std::function<void()> work) override {
        return std::make_unique<MachineThread>(std::move(work));
    }
    std::unique_ptr<Condition> make_condition() override { return std::make_unique<MachineCondition>(); }
};

}  // namespace

Runtime& machine_runtime() {
    static MachineRuntime runtime;
    return runtime;
}

}  // namespace karma::replica
