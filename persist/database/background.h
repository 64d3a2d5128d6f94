#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "engine/series.h"
#include "persist/database/failures.h"
#include "persist/housekeeper.h"

namespace karma {

/// The thread of a database's background maintenance, where it has one, and how far the database is from its
/// end. Thread-safe, but for `start` and `stop`.
class Background {
public:
    /// `failures` outlives this.
    explicit Background(const Failures& failures) : failures_(failures) {}

    /// Begins the thread: see Housekeeper.
    void start(std::function<void()> first, std::function<void()> repeatedly) {
        housekeeper_ = std::make_unique<Housekeeper>(std::move(first), std::move(repeatedly));
    }
    /// Nobody uses the database any more: ends the thread.
    void stop();

    /// Does some work. What fails is reported and ends the work, not the thread: it is tried again later.
    void run(const char* what, const std::function<void()>& work) const;

    /// Frees series in the thread, so that the caller does not take the time; without a thread the caller
    /// does.
    void destroy(std::vector<std::unique_ptr<Series>> series);

    /// The process is stopping: no work begins any more, and what is under way gives up what it can do later.
    void wind_down() noexcept { is_winding_down_ = true; }
    const std::atomic<bool>& is_winding_down() const noexcept { return is_winding_down_; }
    /// Nobody uses the database any more.
    bool is_stopping() const noexcept { return is_stopping_.load(std::memory_order_relaxed); }

private:
    const Failures& failures_;
    std::atomic<bool> is_winding_down_{false};
    std::atomic<bool> is_stopping_{false};
    std::unique_ptr<Housekeeper> housekeeper_;  // null without a thread
};

}  // namespace karma
