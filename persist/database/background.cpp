#include "persist/database/background.h"

#include <exception>
#include <new>
#include <utility>

namespace karma {

void Background::stop() {
    is_stopping_.store(true, std::memory_order_relaxed);
    wind_down();
    housekeeper_.reset();
}

void Background::run(const char* what, const std::function<void()>& work) const {
    try {
        work();
    } catch (const std::exception& failure) {
        if (!is_winding_down_) {
            failures_.report(what, failure.what());
        }
    }
}

void Background::destroy(std::vector<std::unique_ptr<Series>> series) {
    if (housekeeper_ && !series.empty()) {
        try {
            housekeeper_->destroy(std::move(series));
        } catch (const std::bad_alloc&) {
            series.clear();  // then it is the caller after all
        }
    }
}

}  // namespace karma
