#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/series.h"

namespace karma {

/// The thread of a database's background maintenance ("housekeeping"): work that must not delay requests.
/// Thread-safe.
class Housekeeper {
public:
    /// Calls `first` once, and then `repeatedly` about every second, both from its thread. They must not
    /// throw.
    Housekeeper(std::function<void()> first, std::function<void()> repeatedly);
    Housekeeper(const Housekeeper&) = delete;
    Housekeeper& operator=(const Housekeeper&) = delete;

    /// Waits until the running call has returned.
    ~Housekeeper();

    /// Destroys dropped or replaced series in its thread. Costs nothing without any.
    void destroy(std::vector<std::unique_ptr<Series>> series);

private:
    void run(const std::function<void()>& first, const std::function<void()>& repeatedly);

    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<std::unique_ptr<Series>> deferred_;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace karma
