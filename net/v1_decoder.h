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

/// Decodes requests of protocol v1, such as {"command":"increment","tree_name":"links","key":42}, into those
/// of v2. Ignores fields that it does not know. Thread-safe.
class V1Decoder {
public:
    /// `access` outlives the decoder. `response_bytes_max`: what a reply may have, 0 for no limit.
    explicit V1Decoder(const Access& access, std::size_t response_bytes_max = 0)
        : access_(access), response_bytes_max_(response_bytes_max) {}

    /// Decodes an object with the field `command`, from which `request` borrows. Returns the refusal, or
    /// nothing for a valid request. `accepts_writes` is false on a follower. Fills `call` as far as it is
    /// known: the op of v2, the access and the form of the reply. Never throws for bad input.
    std::optional<Error> decode(const boost::json::value& value, bool accepts_writes, Request& request,
                                Call& call) const;

private:
    void decode_object(const boost::json::object& object, bool accepts_writes, Request& request,
                       Call& call) const;

    const Access& access_;
    std::size_t response_bytes_max_;
};

}  // namespace karma::net
