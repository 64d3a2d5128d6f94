#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tests/model/profile.h"

namespace karma::test::model {

// A part of a run that can be done again.
struct Step {
    enum class Kind { requests, restart, kill, move };

    Kind kind = Kind::requests;
    std::vector<std::string> lines;  // sent in one packet; before a kill, all are answered
    int signal = 0;                  // of a restart
};

// How the daemon and the model differ after these steps; nothing when they do not.
std::optional<std::string> difference_after(const Profile& profile, const std::vector<Step>& steps);

// Fewer steps and requests after which they differ as well; tries for a minute or so. Empty when the steps do
// not show the difference by themselves, because it depends on time or on several connections.
std::vector<Step> shrink(const Profile& profile, std::vector<Step> steps);

std::string to_text(const std::vector<Step>& steps);

}  // namespace karma::test::model
