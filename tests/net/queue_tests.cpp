// The queue of connections and of replies that wait.
#include <deque>
#include <memory>
#include <random>

#include <doctest/doctest.h>

#include "net/queue.h"
#include "tests/support/settings.h"

namespace karma::net {

TEST_CASE("queue: gives what was put in, in that order, as a deque does") {
    std::mt19937_64 random = test::random_engine("queue");
    Queue<std::unique_ptr<int>> queue;
    std::deque<int> expected;
    int next = 0;
    for (int phase = 0; phase < 200; ++phase) {
        // By turns it grows and gets shorter, now and then to nothing.
        const std::uint64_t pushes = test::random_between(random, 0, phase % 2 == 0 ? 100 : 10);
        for (std::uint64_t i = 0; i < pushes; ++i) {
            queue.push(std::make_unique<int>(next));
            expected.push_back(next++);
        }
        const std::uint64_t pops = test::random_between(random, 0, phase % 10 == 9 ? 1000 : 50);
        for (std::uint64_t i = 0; i < pops && !expected.empty(); ++i) {
            REQUIRE(*queue.front() == expected.front());
            REQUIRE(*queue.pop() == expected.front());
            expected.pop_front();
        }
        REQUIRE(queue.size() == expected.size());
        REQUIRE(queue.empty() == expected.empty());
        auto at = expected.begin();
        for (const auto& one : queue) REQUIRE(*one == *at++);
        if (!expected.empty()) CHECK(*queue.back() == expected.back());
    }
}

}  // namespace karma::net
