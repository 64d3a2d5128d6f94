#pragma once

#include <functional>
#include <iosfwd>
#include <span>
#include <string>

namespace karma::cli {

/// `karma import`: sends the rows of a CSV file to a running daemon. `args` follow the subcommand's name.
/// Returns the exit status: 0 all rows applied (but bad ones skipped on request), 1 stopped on the way, 2
/// usage, 3 no connection.
///
/// Unless the usage was wrong, the last line of standard output is
///     acknowledged rows=N batches=M last_line=L
/// The daemon has confirmed the first N rows that this run sent, in M batches, up to line L of the file, so
/// that
/// --from-line L+1 goes on behind them.
int import_main(std::span<const std::string> args);

/// The same on other streams than the process's own. When `interrupted` becomes true, no further row is read:
/// what was read is sent, the replies are awaited, and the result is 1.
int run_import(std::span<const std::string> args, int standard_input, std::ostream& out, std::ostream& err,
               const std::function<bool()>& interrupted);

}  // namespace karma::cli
