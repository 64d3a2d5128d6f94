#include "persist/housekeeper.h"

#include <chrono>
#include <iterator>
#include <utility>

namespace karma {

Housekeeper::Housekeeper(std::function<void()> first, std::function<void()> repeatedly)
    : thread_(
          [this, first = std::move(first), repeatedly = std::move(repeatedly)] { run(first, repeatedly); }) {}

Housekeeper::~Housekeeper() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        changed_.notify_one();
    }
    thread_.join();
}

void Housekeeper::destroy(std::vector<std::unique_ptr<Series>> series) {
    if (series.empty()) {
        return;
    }
    const std::lock_guard lock(mutex_);
    deferred_.insert(deferred_.end(), std::make_move_iterator(series.begin()),
                     std::make_move_iterator(series.end()));
    changed_.notify_one();
}

void Housekeeper::run(const std::function<void()>& first, const std::function<void()>& repeatedly) {
    constexpr auto interval = std::chrono::seconds(1);
    first();
    while (true) {
        std::vector<std::unique_ptr<Series>> deferred;
        {
            std::unique_lock lock(mutex_);
            changed_.wait_for(lock, interval, [this] { return stopping_ || !deferred_.empty(); });
            if (stopping_) {
                return;
            }
            deferred.swap(deferred_);
        }
        deferred.clear();
        repeatedly();
    }
}

}  // namespace karma
