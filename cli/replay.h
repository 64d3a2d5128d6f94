#pragma once

#include <iosfwd>
#include <span>
#include <string>

namespace karma::cli {

/// `karma replay DIR`: rebuilds a state of a stopped daemon's data. Returns the exit status.
int run_replay(std::span<const std::string> args, std::ostream& out, std::ostream& err);

int replay_main(std::span<const std::string> args);

}  // namespace karma::cli
