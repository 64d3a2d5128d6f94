#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>

#include "engine/engine.h"
#include "engine/storage.h"

namespace karma {

/// Where the records that follow from events lie in storage: see docs/storage-format.md.

/// Idempotency records, as `append_record` wrote them, of which the last has this LSN.
RecordChange records_change(Lsn last_lsn, std::string bytes);
/// A committed stream.
RecordChange committed_stream_change(const StreamInfo& stream);
/// Says that the idempotency records below an LSN are gone.
RecordChange first_record_change(Lsn lsn);

/// Reads the committed streams that were committed at `last_lsn` or before. Throws CorruptionError.
void read_committed_streams(const Storage& storage, Lsn last_lsn,
                            const std::function<void(StreamInfo)>& visit);

/// Reads the idempotency records in the order of their LSNs, some at a time, until `visit` returns false.
/// What they borrow lives until it returns. Throws CorruptionError.
void read_idempotency_records(const Storage& storage,
                              const std::function<bool(std::span<const IdempotencyRecord>)>& visit);

/// Gives back the storage of records that have all an LSN below this one.
void erase_records_below(Storage& storage, Lsn lsn);

}  // namespace karma
