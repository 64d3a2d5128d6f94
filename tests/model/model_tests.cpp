#include <iostream>

#include <doctest/doctest.h>

#include "tests/model/runner.h"

namespace karma::test::model {

namespace {

// The check begins with the same requests each time, until a kill cuts some short: what has happened then,
// and so what is asked later, is as the machine was. `tests/model-test` makes others.
std::mt19937_64 engine_of(const std::string& profile) {
    const std::uint64_t seed = number_from_environment("KARMA_MODEL_SEED", 1);
    std::mt19937_64 random(seed);
    for (const char letter : profile) random.discard(static_cast<unsigned char>(letter));
    return random;
}

void run_profile(const std::string& name) {
    for (const Profile& profile : all_profiles()) {
        if (profile.name != name) continue;
        const std::size_t requests =
            number_from_environment("KARMA_MODEL_REQUESTS", scaled(profile.requests));
        Runner runner(profile, engine_of(name));
        try {
            runner.run(requests);
            MESSAGE(name << ": " << runner.sent() << " requests, " << runner.lives() << " lives");
        } catch (const Difference& difference) {
            std::string text = difference.what();
            text += "\nKARMA_MODEL_SEED=" + std::to_string(number_from_environment("KARMA_MODEL_SEED", 1)) +
                    " repeats it";
            const std::vector<Step> fewer = shrink(profile, runner.steps());
            if (!fewer.empty())
                text += "\nthe same with fewer requests:\n" + to_text(fewer) +
                        difference_after(profile, fewer).value_or("");
            FAIL(text);
        }
    }
}

}  // namespace

TEST_CASE("model: profile default") { run_profile("default"); }
TEST_CASE("model: profile fsync") { run_profile("fsync"); }
TEST_CASE("model: profile no-log") { run_profile("no-log"); }
TEST_CASE("model: profile memory") { run_profile("memory"); }
TEST_CASE("model: profile small-limits") { run_profile("small-limits"); }
TEST_CASE("model: profile large-series") { run_profile("large-series"); }
TEST_CASE("model: profile restarts") { run_profile("restarts"); }
TEST_CASE("model: profile options") { run_profile("options"); }

}  // namespace karma::test::model
