#pragma once

#include <iosfwd>
#include <span>
#include <string>

namespace karma::cli {

/// `karma verify DIR`: reads a stopped daemon's data back and checks it. Returns the exit status. `progress`
/// says whether `err` is a terminal.
int run_verify(std::span<const std::string> args, std::ostream& out, std::ostream& err, bool progress);

int verify_main(std::span<const std::string> args);

}  // namespace karma::cli
