#pragma once

#include <ostream>
#include <span>
#include <string>

namespace karma::cli {

/// `karma promote`: makes a running follower the master. Returns the exit status; --help lists them.
int run_promote(std::span<const std::string> args, std::ostream& out, std::ostream& err);

/// The same on the standard streams.
int promote_main(std::span<const std::string> args);

}  // namespace karma::cli
