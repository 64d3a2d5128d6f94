#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "engine/error.h"
#include "engine/request.h"
#include "net/access.h"
#include "net/call.h"

namespace karma::net {

/// Turns requests of protocol v1 into those of v2: {"command":"increment","tree_name":"links","key":42}.
/// Fields that it does not know are passed over, whatever they hold. Thread-safe.
class V1Decoder {
public:
    /// `access` outlives the decoder. `response_bytes_max`: what a reply may have, 0 for no limit.
    explicit V1Decoder(const Access& access, std::size_t response_bytes_max = 0)
        : access_(access), response_bytes_max_(response_bytes_max) {}

    /// The request of an object with the field `command`, which the request borrows from; nothing when it is
    /// good. `accepts_writes` is false on a slave. Says in `call` which op of v2 it becomes, who asks and how
    /// its reply is written, as far as that is known. Never throws for bad input.
    std::optional<Error> decode(const boost::json::value& value, bool accepts_writes, Request& request,
                                Call& call) const;

private:
    void decode_object(const boost::json::object& object, bool accepts_writes, Request& request,
                       Call& call) const;

    const Access& access_;
    std::size_t response_bytes_max_;
};

}  // namespace karma::net
