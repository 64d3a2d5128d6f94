#pragma once

#include <string>
#include <vector>

#include "cli/client_options.h"
#include "persist/export.h"

namespace karma::cli {

/// Writes what a running daemon holds, part by part: memory does not depend on its size. With `new_snapshot`
/// a snapshot of everything is made first; otherwise the latest ones are taken, each of its own LSN. `series`
/// is the only one where it is not empty. Throws net::ConnectionError, RefusedError, StorageError and
/// CorruptionError.
std::vector<ExportedSeries> export_from_daemon(const ClientOptions& options, const ExportDirectory& directory,
                                               ExportFormat format, const std::string& series,
                                               bool new_snapshot);

}  // namespace karma::cli
