#pragma once

#include <iosfwd>
#include <span>
#include <string>

namespace karma::cli {

/// `karma ping`: whether a daemon answers. Returns the exit status.
int run_ping(std::span<const std::string> args, std::ostream& out, std::ostream& err);

/// The same on standard output and standard error.
int ping_main(std::span<const std::string> args);

}  // namespace karma::cli
