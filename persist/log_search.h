#pragma once

#include <cstdint>

#include "engine/number.h"
#include "engine/storage.h"

/// Finding places in a log without reading all of it.
namespace karma {

/// The first event that is still kept; 0 where there is none.
Lsn first_kept_lsn(const Storage& storage);

/// The first event of the last group that begins before `time_ms` (Unix milliseconds): what happened from
/// then on is in it or behind it, as far as the clock never went back. The first kept event where all are
/// later, and the next one to come where there are none.
Lsn first_lsn_from_time(const Storage& storage, std::int64_t time_ms);

}  // namespace karma
