#pragma once

#include <iosfwd>
#include <span>
#include <string>

namespace karma::cli {

/// `karma export OUT`: a running daemon's data, or a stopped one's, as files. Returns the exit status.
int run_export(std::span<const std::string> args, std::ostream& out, std::ostream& err);

int export_main(std::span<const std::string> args);

}  // namespace karma::cli
