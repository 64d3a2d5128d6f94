#pragma once

#include <string>

#include <boost/json/object.hpp>

#include "tests/simulation/scheduler.h"

namespace karma::test {

// A request that changes something of everything but the counters that clients keep account of: other series,
// ingest streams, checkpoints, records. Some are refused.
struct Noise {
    std::string op;
    boost::json::object fields;
};

Noise make_noise(Scheduler& scheduler);

}  // namespace karma::test
