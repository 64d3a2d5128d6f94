#pragma once

#include <cstdint>
#include <optional>

#include "engine/storage.h"

namespace karma {

/// The seed of the page hash that a database was created with; nothing where it has none yet. Throws
/// CorruptionError.
std::optional<std::uint64_t> read_hash_seed(const Storage& storage);

/// The same; a new database gets one that no client knows.
std::uint64_t ensure_hash_seed(Storage& storage);

/// What gives a database a seed.
RecordChange hash_seed_change(std::uint64_t seed);

/// Gives a new database its seed.
void write_hash_seed(Storage& storage, std::uint64_t seed);

}  // namespace karma
