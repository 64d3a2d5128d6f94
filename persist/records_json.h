#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "engine/ingest.h"
#include "engine/record_codec.h"
#include "engine/storage.h"

namespace karma {

/// Writes the idempotency records and committed streams that are stored, as of an LSN, as Karma 1.0's
/// `karma.idempotency.json` has them: in pieces, never as a whole. Throws what `sink` does.
void write_records_json(const Storage& storage, Lsn last_lsn,
                        const std::function<void(std::string_view)>& sink);

/// Reads such a file: its records in the order in which they were created, and its streams, without LSNs.
/// What a record borrows lives until `on_record` returns. Builds a document: memory is some times the file's
/// size. Throws CorruptionError that names the element and the field.
void read_records_json(std::string_view text, const std::function<void(const IdempotencyRecord&)>& on_record,
                       const std::function<void(StreamInfo)>& on_stream);

}  // namespace karma
