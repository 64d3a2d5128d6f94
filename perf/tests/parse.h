#pragma once

#include <string>
#include <vector>

#include "perf/load/options.h"

namespace karma::perf {

// The options that these arguments of karma_load give.
inline LoadOptions parse(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "karma_load");
    std::vector<const char*> pointers;
    for (const std::string& argument : arguments) pointers.push_back(argument.c_str());
    return parse_options(static_cast<int>(pointers.size()), pointers.data());
}

}  // namespace karma::perf
