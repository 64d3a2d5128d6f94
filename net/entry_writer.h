#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/event.h"
#include "engine/reply.h"

namespace karma::net {

/// Appends the request of protocol v2 that has the effect of an event: the `entry` of replication.entries.
/// Without `shows_key` it leaves the idempotency key out; the time of its record still shows that there is
/// one.
void append_entry(const Event& event, bool shows_key, std::string& out);

/// Appends an event as event.list shows it: `{"lsn","time","entry"}`.
void append_event(const Event& event, std::string& out);

/// The parts of a reply to event.list.
struct EventsText {
    /// As LogEntriesText.
    EventsText(const reply::Events& reply, std::size_t response_bytes_max);

    std::string entries;  // between the brackets
    std::uint64_t count = 0;
    Lsn next_lsn = 0;
    bool complete = false;
};

/// The parts of a reply to replication.entries.
struct LogEntriesText {
    /// `response_bytes_max`: longest reply, 0 for no limit. There is at least one entry, however long it is.
    LogEntriesText(const reply::LogEntries& reply, std::size_t response_bytes_max);

    std::string head;     // what comes before the entries, from the opening brace on
    std::string entries;  // between the brackets
    std::uint64_t count = 0;
    Lsn next_lsn = 0;
};

}  // namespace karma::net
