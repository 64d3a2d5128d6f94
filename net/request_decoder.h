#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>

#include <boost/json/memory_resource.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parser.hpp>

#include "net/access.h"
#include "net/call.h"
#include "net/fast_decoder.h"
#include "net/op_table.h"

namespace karma::net {

struct DecoderOptions {
    std::size_t response_bytes_max = 0;   // of a reply, 0 for no limit
    bool refuses_unknown_fields = false;  // of requests with a field that their op does not take
};

/// Turns request lines into requests. One per thread. What the requests borrow lives until `release`.
class RequestDecoder {
public:
    /// `access` outlives the decoder.
    explicit RequestDecoder(const Access& access, const DecoderOptions& options = {});

    /// A request line without its newline, which the request may borrow from. `accepts_writes` is false on a
    /// slave. Never throws for bad input: the refusal is in what it returns.
    Decoded decode(std::string_view line, bool accepts_writes);

    /// The same into a place that the caller has; nothing when it is good. Says in `call` which op it is and
    /// who asks, as far as that is known.
    std::optional<Error> decode(std::string_view line, bool accepts_writes, Request& request, Call& call);

    /// The two halves of it, for a line that may be of another protocol: first the common requests in one
    /// pass, where false leaves everything as it was, ...
    bool decode_common(std::string_view line, bool accepts_writes, Request& request, Call& call) {
        return fast_.decode(line, accepts_writes, *arena_, request, call);
    }
    /// ... then the line as JSON, good until `release`; null where it is none, which `refused` says ...
    const boost::json::value* parse(std::string_view line, Error& refused);
    /// ... and what it asks for as a request of protocol v2.
    std::optional<Error> decode_parsed(const boost::json::value& value, bool accepts_writes, Request& request,
                                       Call& call);

    /// The same by the general path alone: what `decode` must agree with.
    Decoded decode_general(std::string_view line, bool accepts_writes);

    /// Frees what earlier requests borrowed.
    void release() noexcept;

private:
    Decoded decode_value(const boost::json::value& value, bool accepts_writes, Call& call);
    Decoded decode_object(const boost::json::object& object, bool accepts_writes, Call& call);

    static constexpr std::size_t first_block_bytes = 256 * 1024;

    const Access& access_;
    DecoderOptions options_;
    FastDecoder fast_;
    std::unique_ptr<unsigned char[]> first_block_;
    std::optional<boost::json::monotonic_resource> arena_;
    boost::json::parser parser_;
};

}  // namespace karma::net
