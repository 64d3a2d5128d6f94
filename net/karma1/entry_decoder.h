#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/event.h"
#include "engine/fingerprinter.h"
#include "net/access.h"
#include "net/request_decoder.h"

namespace karma::net {

/// An entry of a log, read. There is an event, or a reason why not.
struct Karma1Entry {
    std::optional<Event> event;  // a day that the entry does not name is `today`
    std::string why_not;
    bool is_request = true;  // of protocol v2; false: the entry is damaged
};

/// Reads the entries of Karma 1.0's log: each is the request that had the effect. Used by one thread.
class Karma1EntryDecoder {
public:
    /// `entry` is JSON. What the event borrows lives as long as `entry`, and until the next call.
    Karma1Entry decode(Lsn lsn, std::int64_t time_ms, std::string_view entry);

private:
    Access access_{"", ""};
    RequestDecoder decoder_{access_};
    Fingerprinter fingerprinter_;
    Fingerprint fingerprint_;  // of the last chunk
};

}  // namespace karma::net
