#pragma once

#include <iosfwd>
#include <span>
#include <string>

namespace karma::cli {

/// The file could not be read, or the daemon refuses to answer: differences are not known.
inline constexpr int exit_not_compared = 4;

/// `karma reconcile`: compares the aggregates of a CSV file with a running daemon. `args` follow the
/// subcommand's name. Returns the exit status: 0 all points agree, 1 some differ, 2 usage, 3 no connection, 4
/// not compared.
int reconcile_main(std::span<const std::string> args);

/// The same on other streams than the process's own.
int run_reconcile(std::span<const std::string> args, int standard_input, std::ostream& out,
                  std::ostream& err);

}  // namespace karma::cli
