#pragma once

#include <iosfwd>
#include <span>
#include <string>

namespace karma::cli {

/// `karma import DIR`: imports a directory of Karma 1.0 or an export into a new database. Returns the exit
/// status.
int run_import_directory(std::span<const std::string> args, std::ostream& out, std::ostream& err);

/// Whether the arguments of `karma import` name a directory, or are meant to: nothing is where they point to,
/// and it ends with '/', or comes with --directory or without --series.
bool names_directory(std::span<const std::string> args);

}  // namespace karma::cli
