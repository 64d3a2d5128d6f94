#pragma once

#include <string>

#include "cli/client_options.h"
#include "persist/export.h"

namespace karma::cli {

/// Writes the state of a running daemon at one LSN, part by part: memory does not depend on its size. Writes
/// the present state with `new_snapshot`, otherwise that of the latest snapshot of everything. If `series` is
/// not empty, writes only this series and its records. Throws net::ConnectionError, RefusedError,
/// StorageError and CorruptionError.
Exported export_from_daemon(const ClientOptions& options, ExportDirectory& directory, ExportFormat format,
                            const std::string& series, bool new_snapshot);

}  // namespace karma::cli
