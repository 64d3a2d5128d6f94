#pragma once

#include <random>
#include <string>
#include <vector>

namespace karma::test {

// One of the ways to run the daemon that all have to survive a kill: the log reaches the operating system in
// each. Reads of whole series have time and room.
std::vector<std::string> random_arguments(std::mt19937_64& random);

}  // namespace karma::test
