// Whole clusters in simulated time: see simulation.h and docs/reliability.md.
#include <cstdio>
#include <cstdlib>
#include <sched.h>
#include <string>

#include <doctest/doctest.h>

#include "tests/simulation/disorder.h"
#include "tests/simulation/simulation.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

// Of all threads that begin meanwhile one runs at a time: going from one processor to the other would take
// most of the time.
class OneProcessor {
public:
    OneProcessor() {
        is_known_ = ::sched_getaffinity(0, sizeof before_, &before_) == 0;
        const int here = ::sched_getcpu();
        if (is_known_ && here >= 0) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(static_cast<unsigned>(here), &one);
            ::sched_setaffinity(0, sizeof one, &one);
        }
    }
    OneProcessor(const OneProcessor&) = delete;
    OneProcessor& operator=(const OneProcessor&) = delete;
    ~OneProcessor() {
        if (is_known_) {
            ::sched_setaffinity(0, sizeof before_, &before_);
        }
    }

private:
    cpu_set_t before_{};
    bool is_known_ = false;
};

struct Run {
    std::string failure;
    std::uint64_t trace = 0;
    std::uint64_t steps = 0;
    std::string summary;
};

// A simulation that has got stuck cannot be unwound.
template <typename Simulated, typename... Flaws>
Run simulate(std::uint64_t seed, const Flaws&... flaws) {
    const OneProcessor one;
    auto simulation = std::make_unique<Simulated>(seed, flaws...);
    if (is_set("KARMA_SIMULATION_LOG")) {
        simulation->show_logs();
    }
    try {
        std::string failure = simulation->run();
        return {std::move(failure), simulation->trace(), simulation->steps(), simulation->summary()};
    } catch (const std::exception& stuck) {
        std::fprintf(stderr, "%s: repeat it with tests/simulate --seed %llu (%s)\n", stuck.what(),
                     static_cast<unsigned long long>(seed), simulation->summary().c_str());
        std::_Exit(1);
    }
}

template <typename Simulated>
void simulate_seeds(std::size_t count) {
    const std::uint64_t seeds = number_from_environment("KARMA_SIMULATION_SEEDS", scaled(count));
    const std::uint64_t first = number_from_environment("KARMA_SIMULATION_SEED", 1);
    const bool is_verbose = is_set("KARMA_SIMULATION_VERBOSE");
    std::uint64_t steps = 0;
    for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
        const Run run = simulate<Simulated>(seed);
        steps += run.steps;
        if (is_verbose) {
            std::printf("seed %llu: %s%s%s\n", static_cast<unsigned long long>(seed), run.summary.c_str(),
                        run.failure.empty() ? "" : ": FAILED: ", run.failure.c_str());
            std::fflush(stdout);
        }
        CHECK_MESSAGE(run.failure.empty(), "seed ", seed, ": ", run.failure, " (", run.summary,
                      "); repeat it with tests/simulate --seed ", seed);
    }
    MESSAGE(seeds, " seeds from ", first, ", ", steps, " steps");
}

}  // namespace

TEST_CASE("simulation: whatever breaks, what was acknowledged counts once, and all nodes are equal") {
    simulate_seeds<Simulation>(60);
}

TEST_CASE("simulation: whatever breaks, and whatever the operator does, the invariants hold") {
    simulate_seeds<Disorder>(60);
}

// The first of some seeds that fails.
std::string first_failure(const SimulationFlaws& flaws) {
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        const Run run = simulate<Simulation>(seed, flaws);
        if (!run.failure.empty()) {
            MESSAGE("noticed with seed ", seed, ": ", run.failure);
            return run.failure;
        }
    }
    return {};
}

TEST_CASE("simulation: what would be lost is noticed") {
    SimulationFlaws no_sync;
    no_sync.ignores_sync = true;
    CHECK(first_failure(no_sync) != "");
    SimulationFlaws other_keys;
    other_keys.retries_anew = true;
    CHECK(first_failure(other_keys) != "");
    SimulationFlaws no_acks;
    no_acks.needs_no_acks = true;
    CHECK(first_failure(no_acks) != "");
    SimulationFlaws late_commits;
    late_commits.commits_only_awaited = true;
    CHECK(first_failure(late_commits) != "");
}

template <typename Simulated>
void repeat(std::size_t seeds) {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        const Run once = simulate<Simulated>(seed);
        const Run again = simulate<Simulated>(seed);
        CHECK(once.trace == again.trace);
        CHECK(once.steps == again.steps);
        CHECK(once.summary == again.summary);
    }
}

TEST_CASE("simulation: a seed repeats its run") {
    repeat<Simulation>(scaled(6));
    repeat<Disorder>(scaled(4));
}

}  // namespace karma::test
