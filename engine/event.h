#pragma once

#include <cstdint>
#include <string_view>

#include "engine/fact.h"
#include "engine/number.h"

namespace karma {

/// A fact with its place in the log and its time. Applying the events of a log in order gives the same state
/// wherever and whenever it is done.
struct Event {
    Lsn lsn = 0;
    std::int64_t time_ms = 0;  // Unix time at which it was accepted
    Fact body;
    std::string_view idempotency_key = {};  // borrowed; empty where it had none
};

}  // namespace karma
