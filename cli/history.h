#pragma once

#include <iosfwd>
#include <span>
#include <string>

namespace karma::cli {

/// `karma history`: prints events of a running daemon. Returns the exit status.
int run_history(std::span<const std::string> args, std::ostream& out, std::ostream& err);

/// The same on standard output and standard error.
int history_main(std::span<const std::string> args);

}  // namespace karma::cli
