#pragma once

#include <iosfwd>

#include "cli/import_options.h"

namespace karma::cli {

/// `karma import --abort`: ends the import of this input that was not completed, so that its stream is
/// closed. What it has added stays, and importing the same again begins anew. Returns the exit status.
int abort_import(const ImportOptions& options, int standard_input, std::ostream& out, std::ostream& err);

}  // namespace karma::cli
