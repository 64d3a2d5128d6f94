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

}  // namespace karma
