// Whole clusters in simulated time: see simulation.h and docs/reliability.md.
#include <cstdio>
#include <cstdlib>
#include <string>

#include <doctest/doctest.h>

#include "tests/simulation/disorder.h"
#include "tests/simulation/simulation.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

struct Run {
    std::string failure;
    bool is_stuck = false;
    std::uint64_t trace = 0;
    std::uint64_t steps = 0;
    std::string summary;
};

// A simulation that has got stuck cannot be ended: it is left as it is, and the next seed runs beside it.
template <typename Simulated, typename... Flaws>
Run simulate(std::uint64_t seed, const Flaws&... flaws) {
    auto simulation = std::make_unique<Simulated>(seed, flaws...);
    if (is_set("KARMA_SIMULATION_LOG")) {
        simulation->show_logs();
    }
    Run run;
    try {
        run.failure = simulation->run();
    } catch (const std::exception& stuck) {
        run.failure = stuck.what();
        run.is_stuck = true;
    }
    run.trace = simulation->trace();
    run.steps = simulation->steps();
    run.summary = simulation->summary();
    if (run.is_stuck) {
        static_cast<void>(simulation.release());
    }
    return run;
}

template <typename Simulated, typename... Kinds>
void simulate_seeds(std::size_t count, const Kinds&... kinds) {
    const std::uint64_t seeds = number_from_environment("KARMA_SIMULATION_SEEDS", scaled(count));
    const std::uint64_t first = number_from_environment("KARMA_SIMULATION_SEED", 1);
    const bool is_verbose = is_set("KARMA_SIMULATION_VERBOSE");
    std::uint64_t steps = 0;
    for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
        const Run run = simulate<Simulated>(seed, kinds...);
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

TEST_CASE("simulation: whatever breaks, and whoever is behind a lost master, what was acknowledged stays") {
    simulate_seeds<Disorder>(20, DisorderKind::lost_masters);
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
    SimulationFlaws no_limits;
    no_limits.limits_no_clients = true;
    CHECK(first_failure(no_limits) != "");
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
