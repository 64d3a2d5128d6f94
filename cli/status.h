#pragma once

#include <iosfwd>
#include <span>
#include <string>

namespace karma::cli {

/// `karma status`: the state of a running daemon at a glance. Returns the exit status.
int run_status(std::span<const std::string> args, std::ostream& out, std::ostream& err);

/// The same on standard output and standard error.
int status_main(std::span<const std::string> args);

}  // namespace karma::cli
