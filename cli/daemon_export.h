#pragma once

#include <string>

#include "cli/client_options.h"
#include "persist/export.h"

namespace karma::cli {

/// Writes what a running daemon holds at one LSN, part by part: memory does not depend on its size. With
/// `new_snapshot` it is the present state; otherwise that of the latest snapshot of everything. `series` is
/// the only one where it is not empty, with what belongs to it. Throws net::ConnectionError, RefusedError,
/// StorageError and CorruptionError.
Exported export_from_daemon(const ClientOptions& options, ExportDirectory& directory, ExportFormat format,
                            const std::string& series, bool new_snapshot);

}  // namespace karma::cli
