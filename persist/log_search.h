#pragma once

#include <cstdint>
#include <optional>

#include "engine/event_filter.h"
#include "engine/number.h"
#include "engine/reply.h"
#include "engine/scan.h"
#include "engine/storage.h"

/// Finding places in a log without reading all of it.
namespace karma {

/// The first event of the log after which none is missing; 0 if there is no event.
Lsn first_kept_lsn(const Storage& storage);

/// The first stored event, also before a gap in the log; 0 if there is none.
Lsn first_stored_lsn(const EventLog& log);

/// The recorded LSN from which on no event is missing; 0 if none was recorded.
Lsn read_unbroken_lsn(const RecordTables& tables);

/// Makes the log go on at `lsn`, and records the gap if events before it are missing. No other thread may
/// write meanwhile.
void skip_log_to(Storage& storage, Lsn lsn);

/// Finds the end of the last gap in a log of an earlier version, which did not record gaps. Reads the whole
/// log of such a version, and nothing otherwise.
void ensure_unbroken_lsn(Storage& storage);

/// The LSN from which on the times of events never decrease. In logs of earlier versions, and of masters of
/// earlier versions, they may: what is searched by time is searched event by event up to it. The highest
/// number where it was not recorded yet.
Lsn read_ordered_lsn(const RecordTables& tables);
bool has_ordered_lsn(const RecordTables& tables);
RecordChange ordered_lsn_change(Lsn lsn);

/// The same from the log itself: the last event whose time is below that of the one before it; 0 where there
/// is none. Reads the whole log.
Lsn find_ordered_lsn(const EventLog& log, const Deadline& deadline = NoDeadline());

/// An event at or before the first one of `time_ms` (Unix milliseconds) or later: what happened from then on
/// is in its group or behind it. The first kept event where all are later, and the next one to come where
/// there are none.
Lsn first_lsn_from_time(const Storage& storage, std::int64_t time_ms);

/// The last event of `time_ms` or earlier; 0 where there is none. What comes after it is later, all of it.
Lsn last_lsn_until_time(const Storage& storage, std::int64_t time_ms);

/// The refusal of a request for events that were dropped.
Error events_gone(Lsn after_lsn);

/// Searches the log, in one read of it, up to `last_lsn` for events that a filter lets through, until `limit`
/// are found; above `after_lsn`, or from the first that is kept. Looks at a million of them at most, and at
/// less where the deadline comes before: the reply says how far it came. Never skips missing events: it ends
/// before a gap, and refuses to begin in one.
Reply search_events(const Storage& storage, const EventFilter& filter, std::optional<Lsn> after_lsn,
                    std::size_t limit, Lsn last_lsn, const Deadline& deadline);

}  // namespace karma
