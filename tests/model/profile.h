#pragma once

#include <string>
#include <vector>

#include "tests/model/generator.h"
#include "tests/model/model.h"

namespace karma::test::model {

// What daemon is tested, by which requests, and what happens to it.
struct Profile {
    std::string name;
    std::vector<std::string> arguments;  // beside those that follow from `config`
    Config config;
    Taste taste;
    std::size_t requests = 20'000;     // in the check
    std::size_t between_events = 400;  // requests between two restarts, kills and so on, about
    std::size_t packet = 12;           // most requests that are sent before the first reply is read
    bool changes_options = false;      // restarts with other options
    bool has_bursts = true;  // several connections at once, while there is a log; needs room for its entries
    bool moves = true;       // exports and imports
};

const std::vector<Profile>& all_profiles();

// The options of the daemon that make it what the configuration says.
std::vector<std::string> arguments_of(const Profile& profile, const Config& config);

}  // namespace karma::test::model
