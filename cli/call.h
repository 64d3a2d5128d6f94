#pragma once

#include <iosfwd>
#include <span>
#include <string>

namespace karma::cli {

/// `karma call`: sends one request to a running daemon and prints its response. `args` follow the
/// subcommand's name. Returns the exit status: 0 success, 1 refused, 2 usage, 3 no connection or no reply.
int call_main(std::span<const std::string> args);

/// The same on other streams than the process's own.
int run_call(std::span<const std::string> args, std::istream& in, std::ostream& out, std::ostream& err);

}  // namespace karma::cli
