#pragma once

#include <span>

#include <boost/json/array.hpp>

#include "engine/reply.h"

namespace karma {

/// Recovery checkpoints as in `recovery.json` and in the list of an export's contents:
/// `[{"source","offset","event_id","updated_at_unix"}]`; a missing offset or event_id is null.
boost::json::array checkpoints_json(std::span<const reply::Checkpoint> checkpoints);

}  // namespace karma
