#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "engine/event.h"

namespace karma {

/// The events that a request asks for.
struct EventFilter {
    std::optional<std::string> series;  // those that concern it: system.compact too, other series' not
    std::optional<std::uint64_t> key;   // those that change it: what concerns the whole series too
    std::int64_t from_ms = std::numeric_limits<std::int64_t>::min();  // Unix milliseconds, inclusive
    std::int64_t to_ms = std::numeric_limits<std::int64_t>::max();    // inclusive

    /// The beginning and the end of ingest streams name no series: with a series only their chunks match.
    bool matches(const Event& event) const;
};

}  // namespace karma
