// Months of background maintenance in simulated time: see months.h.
#include <algorithm>
#include <cstdio>
#include <vector>

#include <doctest/doctest.h>

#include "tests/simulation/months.h"
#include "tests/support/settings.h"
#include "tests/support/temp_dir.h"

namespace karma::test {

namespace {

// Everything is in a steady state once the events and records of the first week have gone.
constexpr std::size_t steady_week = 2;

using Figure = std::uint64_t Footprint::*;

// The greatest of some weeks.
std::uint64_t greatest(const std::vector<Footprint>& weeks, Figure figure, std::size_t from, std::size_t to) {
    std::uint64_t most = 0;
    for (std::size_t week = from; week < to; ++week) {
        most = std::max(most, weeks[week].*figure);
    }
    return most;
}

}  // namespace

TEST_CASE("simulation: months of maintenance leave files, memory, tombstones and starts flat") {
    const std::uint64_t months = number_from_environment("KARMA_SIMULATION_MONTHS", 1);
    const std::uint64_t step_s = number_from_environment("KARMA_SIMULATION_STEP_S", 1800);
    const bool is_verbose = is_set("KARMA_SIMULATION_VERBOSE");
    const TempDir directory;
    SimulatedMonths simulated(directory.path(), static_cast<std::int64_t>(step_s));
    std::vector<Footprint> weeks;
    for (std::uint64_t day = 0; day < months * 30 + 5; day += 7) {
        simulated.run_days(7);
        weeks.push_back(simulated.measure());
        if (is_verbose) {
            std::printf("week %zu: %s\n", weeks.size(), weeks.back().text().c_str());
            std::fflush(stdout);
        }
    }
    REQUIRE(weeks.size() > steady_week + 2);
    const std::size_t half = (steady_week + weeks.size()) / 2;
    const struct {
        const char* name;
        Figure figure;
        std::uint64_t slack;
    } statistics[] = {
        {"files", &Footprint::files, 16},
        {"bytes of files", &Footprint::file_bytes, 256 * 1024},
        {"removed records", &Footprint::removed_records, 1'000},
        {"bytes of the log", &Footprint::log_bytes, 64 * 1024},
        {"bytes of the index", &Footprint::index_bytes, 8 * 1024},
        {"rows read by a start", &Footprint::rows_read, 100},
        {"groups read by a start", &Footprint::groups_read, 100},
    };
    for (const auto& one : statistics) {
        const std::uint64_t before = greatest(weeks, one.figure, steady_week, half);
        const std::uint64_t after = greatest(weeks, one.figure, half, weeks.size());
        INFO(one.name, " in the earlier weeks ", before, ", in the later weeks ", after);
        CHECK(after <= before + before / 4 + one.slack);
    }
    for (std::size_t week = 0; week < weeks.size(); ++week) {
        INFO("week ", week + 1, ": ", weeks[week].text());
        CHECK(weeks[week].removed_ranges <= 16);
        // Seldom and in larger steps: an hour apart at most, where each step of the simulation forgets.
        CHECK(weeks[week].ranges_removed <= 7 * 24);
        CHECK(weeks[week].rows_read <= 7 * 24 * 3600 / step_s * 5 / 4 + 1'000);
    }
}

}  // namespace karma::test
