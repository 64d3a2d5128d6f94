#pragma once

#include <cstdint>
#include <string_view>

#include "engine/mutation.h"
#include "engine/number.h"

namespace karma {

/// A fact: an accepted mutation with its place in the log and its time. Applying the events of a log in order
/// gives the same state wherever and whenever it is done.
struct Event {
    Lsn lsn = 0;
    std::int64_t time_ms = 0;               // Unix time at which it was accepted
    Mutation body;                          // all days resolved
    std::string_view idempotency_key = {};  // borrowed; empty where it had none
};

}  // namespace karma
