#pragma once

#include <chrono>
#include <thread>

#include "tests/support/settings.h"

namespace karma::test {

// Waits for something that should come true soon; false when it has not in that time.
template <typename Condition>
bool comes_true(Condition&& condition, std::chrono::milliseconds time = patience(std::chrono::seconds(60))) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (!condition()) {
        if (std::chrono::steady_clock::now() >= end) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
}

}  // namespace karma::test
