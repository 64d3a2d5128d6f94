#pragma once

#include <filesystem>

#include "engine/replicated.h"

namespace karma::replica {

/// What `write_discarded` has written.
struct Discarded {
    std::filesystem::path file;
    std::uint64_t events = 0;
    Lsn first_lsn = 0;  // of the first event that was kept; 0: none was
};

/// Writes the events above an LSN that are kept to a new file in `directory`, one
/// `{"lsn","time","entry"}` a line, on disk when it returns. Throws StorageError that names the file.
Discarded write_discarded(const Replicated& database, Lsn after_lsn,
                          const std::filesystem::path& directory);

}  // namespace karma::replica
