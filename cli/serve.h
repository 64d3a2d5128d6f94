#pragma once

#include <span>
#include <string>

namespace karma::cli {

/// `karma serve`: runs the daemon until SIGINT or SIGTERM. Returns the exit status: 0 after a clean end, 1
/// when it could not start or the log failed, 2 when an option is wrong.
int serve_main(std::span<const std::string> arguments);

}  // namespace karma::cli
