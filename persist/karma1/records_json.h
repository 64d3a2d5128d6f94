#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "engine/ingest.h"
#include "engine/record_codec.h"
#include "engine/record_tables.h"

namespace karma {

/// Which of the stored idempotency records and committed streams are written.
struct RecordsSelection {
    Lsn first_lsn = 0;  // of idempotency records; 0: the first that is stored
    Lsn last_lsn = 0;   // of both
    std::function<bool(const IdempotencyRecord&)> wants_record = {};  // empty: all of them
    std::function<bool(const StreamInfo&)> wants_stream = {};
};

struct WrittenRecords {
    std::uint64_t records = 0;
    std::uint64_t committed_streams = 0;
};

/// Writes idempotency records and committed streams that are stored as Karma 1.0's `karma.idempotency.json`
/// has them: in pieces, never as a whole. Throws what `sink` does.
WrittenRecords write_records_json(const RecordTables& tables, const RecordsSelection& selection,
                                  const std::function<void(std::string_view)>& sink);

/// Reads such a file: its records in the order in which they were created, and its streams, without LSNs.
/// What a record borrows lives until `on_record` returns. Builds a document: memory is some times the file's
/// size. Throws CorruptionError that names the element and the field.
void read_records_json(std::string_view text, const std::function<void(const IdempotencyRecord&)>& on_record,
                       const std::function<void(StreamInfo)>& on_stream);

}  // namespace karma
