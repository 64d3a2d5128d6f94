#pragma once

#include <atomic>
#include <future>
#include <memory>
#include <utility>

#include "engine/scan.h"
#include "replica/channel.h"
#include "replica/runtime.h"

namespace karma::replica {

/// Work in a thread beside a channel's thread, which it wakes at its end. The destructor cancels the work and
/// waits for it.
template <typename Result>
class Background {
public:
    Background() = default;
    Background(const Background&) = delete;
    Background& operator=(const Background&) = delete;
    ~Background() { stopping_ = true; }

    /// Calls `work(deadline)` in another thread. `channel` outlives this object.
    template <typename Work>
    void start(Runtime& runtime, Channel& channel, Work work) {
        auto done = std::make_shared<std::atomic<bool>>(false);
        auto task = std::make_shared<std::packaged_task<Result(const Deadline&)>>(std::move(work));
        done_ = done;
        result_ = task->get_future();
        thread_ = runtime.start_thread([this, &channel, done, task]() mutable {
            (*task)(UntilStopped(stopping_));
            task.reset();
            // Before the wake, so that who is woken sees it.
            *done = true;
            channel.wake();
        });
    }

    bool is_under_way() const noexcept { return result_.valid(); }
    bool is_done() const noexcept { return result_.valid() && done_->load(); }
    /// Waits for the result and returns it; throws what the work threw.
    Result take() {
        thread_.reset();
        return result_.get();
    }

private:
    std::atomic<bool> stopping_{false};
    std::shared_ptr<std::atomic<bool>> done_;
    std::future<Result> result_;
    std::unique_ptr<Thread> thread_;
};

}  // namespace karma::replica
