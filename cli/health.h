#pragma once

#include <iosfwd>
#include <span>
#include <string>

namespace karma::cli {

/// `karma health`: whether a daemon is healthy. Returns the exit status.
int run_health(std::span<const std::string> args, std::ostream& out, std::ostream& err);

/// The same on standard output and standard error.
int health_main(std::span<const std::string> args);

}  // namespace karma::cli
