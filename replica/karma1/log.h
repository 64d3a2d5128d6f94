#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include <boost/json/value.hpp>

#include "engine/event.h"
#include "engine/replicated.h"
#include "net/karma1/entry_decoder.h"
#include "replica/master_client.h"

namespace karma::replica {

/// The log of the master does not hold the next event any more.
class GapError : public ChannelError {
public:
    using ChannelError::ChannelError;
};

/// The log of the master ends before the LSN after which events were asked for.
class TailLostError : public ChannelError {
public:
    using ChannelError::ChannelError;
};

/// Asks a Karma 1.0 for the events of its log. Used by one thread.
class Karma1Log {
public:
    /// `database` gives the time of events for which the master has none.
    Karma1Log(MasterClient& master, const Replicated& database) : master_(master), database_(database) {}

    struct Page {
        std::uint64_t count = 0;
        Lsn source_lsn = 0;  // of the master's last event
    };
    /// Calls `visit` for the events after `lsn`, `limit` of them at most, none left out; what they borrow
    /// lives until it returns. Throws GapError, TailLostError, ChannelError for an entry that is no event,
    /// ConnectionError, and what `visit` throws.
    Page read(Lsn lsn, std::uint64_t limit, const std::function<void(const Event&)>& visit);
    /// The same for an answer of the master.
    Page take(const boost::json::value& response, Lsn lsn, const std::function<void(const Event&)>& visit);

    /// Whether the log has everything after `lsn`.
    bool reaches_back_to(Lsn lsn);

private:
    /// The event of an entry.
    Event decode(Lsn lsn, const boost::json::value& entry);

    MasterClient& master_;
    const Replicated& database_;
    net::Karma1EntryDecoder decoder_;
    std::string line_;  // of the last entry
};

/// An event that changes nothing, for an entry that Karma 1.0 has logged and refused: the LSN is used there,
/// so it has to be used here.
Event without_effect(const Event& event);

}  // namespace karma::replica
