#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/series.h"

namespace karma {

/// A thread for what has to be done some time and must not hold up anyone. Its functions may be called from
/// any thread.
class Housekeeper {
public:
    /// Calls `first` once and then `repeatedly` about every second, both from the thread. They must not
    /// throw.
    Housekeeper(std::function<void()> first, std::function<void()> repeatedly);
    Housekeeper(const Housekeeper&) = delete;
    Housekeeper& operator=(const Housekeeper&) = delete;

    /// Waits for what is being done.
    ~Housekeeper();

    /// Destroys series that nobody needs any more. Without any this costs nothing.
    void destroy(std::vector<std::unique_ptr<Series>> series);

private:
    void run(const std::function<void()>& first, const std::function<void()>& repeatedly);

    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<std::unique_ptr<Series>> doomed_;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace karma
