#pragma once

#include <filesystem>

#include "engine/replicated.h"

namespace karma::replica {

/// The result of `write_discarded`.
struct Discarded {
    std::filesystem::path file;
    std::uint64_t events = 0;
    Lsn first_lsn = 0;  // of the first event that was kept; 0: none was
};

/// Writes the kept events above an LSN to a new file in `directory`, one `{"lsn","time","entry"}` a line, and
/// syncs it. Throws StorageError that names the file.
Discarded write_discarded(const Replicated& database, Lsn after_lsn, const std::filesystem::path& directory);

}  // namespace karma::replica
