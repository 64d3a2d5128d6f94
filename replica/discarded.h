#pragma once

#include <filesystem>

#include "engine/replicated.h"

namespace karma::replica {

/// Writes the events above an LSN that are kept to a new file in `directory`, one
/// `{"lsn","time","entry"}` a line, on disk when it returns. Throws StorageError that names the file.
std::filesystem::path write_discarded(const Replicated& database, Lsn after_lsn,
                                      const std::filesystem::path& directory);

}  // namespace karma::replica
