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

/// The first event that is still kept; 0 where there is none.
Lsn first_kept_lsn(const Storage& storage);

/// The first event of the last group that begins before `time_ms` (Unix milliseconds): what happened from
/// then on is in it or behind it, as far as the clock never went back. The first kept event where all are
/// later, and the next one to come where there are none.
Lsn first_lsn_from_time(const Storage& storage, std::int64_t time_ms);

/// The refusal of who asks for events that were dropped.
Error events_gone(Lsn after_lsn);

/// Searches the log up to `last_lsn` for events that a filter lets through, until `limit` are found; above
/// `after_lsn`, or from the first that is kept. Looks at a million of them at most, and at less where the
/// deadline comes before: the reply says how far it came.
Reply search_events(const Storage& storage, const EventFilter& filter, std::optional<Lsn> after_lsn,
                    std::size_t limit, Lsn last_lsn, const Deadline& deadline);

}  // namespace karma
