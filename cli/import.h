#pragma once

#include <functional>
#include <iosfwd>
#include <span>
#include <string>

namespace karma::cli {

/// `karma import`: sends the rows of a CSV file to a running daemon as one ingest stream, so that running the
/// same command again completes what was not completed and counts nothing twice. `args` follow the
/// subcommand's name. Returns the exit status: 0 all rows applied (but bad ones skipped on request), 1
/// stopped on the way, 2 usage, 3 no connection at the start.
///
/// Unless the usage was wrong, or --abort was given, the last line of standard output is
///     acknowledged rows=N batches=M last_line=L applied=A skipped=S unknown=U import_id=ID
/// The daemon has confirmed the first N = A + S rows, in M batches, up to line L of the file: this run has
/// added A of them, S were there before. Of U more rows it is not known whether they were added. ID is "-"
/// where none was found.
int import_main(std::span<const std::string> args);

/// The same on other streams than the process's own. When `interrupted` becomes true, no further row is read:
/// full batches are sent, the replies are awaited, and the result is 1.
int run_import(std::span<const std::string> args, int standard_input, std::ostream& out, std::ostream& err,
               const std::function<bool()>& interrupted);

}  // namespace karma::cli
