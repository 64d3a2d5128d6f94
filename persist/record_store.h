#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/record_tables.h"

namespace karma {

/// Where the records that follow from events lie in storage: see docs/storage-format.md.

/// Idempotency records, as `append_record` wrote them, of which the last has this LSN.
RecordChange records_change(Lsn last_lsn, std::string bytes);
/// A committed stream.
RecordChange committed_stream_change(const StreamInfo& stream);
/// Removes committed streams that an event of this LSN has pruned.
void append_pruned_streams(std::span<const std::string> ids, Lsn lsn, std::vector<RecordChange>& changes);
/// The LSN of the last such event whose changes are stored; 0 where there is none. What is stored lacks
/// streams that a state of before it has.
Lsn read_pruned_streams_lsn(const RecordTables& tables);
/// Says that the idempotency records below an LSN are forgotten, whether their rows are still there or not.
RecordChange first_record_change(Lsn lsn);
/// The LSN of which this was last said; 0 where it never was.
Lsn read_first_record_lsn(const RecordTables& tables);

/// Reads the committed streams that were committed at `last_lsn` or before. Throws CorruptionError.
void read_committed_streams(const RecordTables& tables, Lsn last_lsn,
                            const std::function<void(StreamInfo)>& visit);

/// Reads the idempotency records that are not forgotten in the order of their LSNs, some at a time, until
/// `visit` returns false. What they borrow lives until it returns. Throws CorruptionError.
void read_idempotency_records(const RecordTables& tables,
                              const std::function<bool(std::span<const IdempotencyRecord>)>& visit);
/// The same of all that is stored from an LSN on, also of what was forgotten since a snapshot.
void read_idempotency_records(const RecordTables& tables, Lsn first_lsn,
                              const std::function<bool(std::span<const IdempotencyRecord>)>& visit);

/// Removes the rows of which all records have an LSN below this one, and gives back their space. Nothing else
/// removes rows of idempotency records one by one. Costs a rewrite of what lies beside them: to be called
/// seldom, for many. False where there were none.
bool erase_records_below(RecordTables& tables, Lsn lsn);

}  // namespace karma
