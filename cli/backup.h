#pragma once

#include <iosfwd>
#include <span>
#include <string>

namespace karma::cli {

/// `karma backup DIR`: a whole, verified copy of a running daemon. Returns the exit status.
int run_backup(std::span<const std::string> args, std::ostream& out, std::ostream& err);

int backup_main(std::span<const std::string> args);

}  // namespace karma::cli
