// Whole clusters in simulated time: see simulation.h and docs/reliability.md.
#include <cstdio>
#include <cstdlib>
#include <string>

#include <doctest/doctest.h>

#include "tests/simulation/simulation.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

struct Run {
    std::string failure;
    std::uint64_t trace = 0;
    std::uint64_t steps = 0;
    std::string summary;
};

// A simulation that has got stuck cannot be unwound.
Run simulate(std::uint64_t seed, const SimulationFlaws& flaws = {}) {
    auto simulation = std::make_unique<Simulation>(seed, flaws);
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

}  // namespace

TEST_CASE("simulation: whatever breaks, what was acknowledged counts once, and all nodes are equal") {
    const std::uint64_t seeds = number_from_environment("KARMA_SIMULATION_SEEDS", scaled(60));
    const std::uint64_t first = number_from_environment("KARMA_SIMULATION_SEED", 1);
    const bool is_verbose = is_set("KARMA_SIMULATION_VERBOSE");
    std::uint64_t steps = 0;
    for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
        const Run run = simulate(seed);
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

// The first of some seeds that fails.
std::string first_failure(const SimulationFlaws& flaws) {
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        const Run run = simulate(seed, flaws);
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

TEST_CASE("simulation: a seed repeats its run") {
    for (std::uint64_t seed = 1; seed <= scaled(6); ++seed) {
        const Run once = simulate(seed);
        const Run again = simulate(seed);
        CHECK(once.trace == again.trace);
        CHECK(once.steps == again.steps);
        CHECK(once.summary == again.summary);
    }
}

}  // namespace karma::test
