#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <vector>

#include "engine/record_tables.h"

/// Numbers as records of the table `meta` hold them: in decimal, with a space between them.
namespace karma {

/// The numbers of a record with this many of them; nothing if there is no such record. Throws CorruptionError
/// that names a record with other contents.
std::optional<std::vector<std::uint64_t>> read_meta_numbers(const RecordTables& tables, const char* key,
                                                            std::size_t count);

/// The number of a record with one.
std::optional<std::uint64_t> read_meta_number(const RecordTables& tables, const char* key);

/// Up to when the age of idempotency records and events is measured, Unix milliseconds: see AgeClock.
inline constexpr const char* age_key = "age_ms";

/// The time of the last event before the log, Unix milliseconds, if a master sent it with a state.
inline constexpr const char* base_time_key = "base_time_ms";

RecordChange meta_numbers_change(const char* key, std::initializer_list<std::uint64_t> numbers);

}  // namespace karma
