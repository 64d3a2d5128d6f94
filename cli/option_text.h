#pragma once

#include <iosfwd>

namespace karma::cli {

struct ServeOptions;

/// `karma --help`: what the program can do, and all options of the daemon in groups.
void print_serve_help(std::ostream& out);

/// `karma serve --help=markdown`: docs/configuration.md.
void print_option_reference(std::ostream& out);

/// `karma serve --print-config`: the options in force as a TOML file with comments, which gives the same
/// options when it is read. Tokens are not shown.
void print_config(std::ostream& out, const ServeOptions& options);

}  // namespace karma::cli
