#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "engine/record_tables.h"

namespace karma {

/// The seed of the page hash of a database; nothing if it has none yet. Throws CorruptionError.
std::optional<std::uint64_t> read_hash_seed(const RecordTables& tables);

/// The same; a new database gets a seed from `random`, whose numbers no client can know.
std::uint64_t ensure_hash_seed(RecordTables& tables, const std::function<std::uint64_t()>& random);

/// What gives a database a seed.
RecordChange hash_seed_change(std::uint64_t seed);

/// Gives a new database its seed.
void write_hash_seed(RecordTables& tables, std::uint64_t seed);

}  // namespace karma
