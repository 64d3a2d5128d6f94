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

/// Decodes request lines into requests. One for each thread. What the requests borrow lives until `release`.
class RequestDecoder {
public:
    /// `access` outlives the decoder.
    explicit RequestDecoder(const Access& access, const DecoderOptions& options = {});

    /// Decodes a request line without its newline, from which the request may borrow. `accepts_writes` is
    /// false on a follower. Never throws for bad input: it returns the refusal.
    Decoded decode(std::string_view line, bool accepts_writes);

    /// The same, into `request`. Returns the refusal, or nothing for a valid request. Fills op and access of
    /// `call` as far as they are known.
    std::optional<Error> decode(std::string_view line, bool accepts_writes, Request& request, Call& call);

    /// The parts of `decode`, for a line that may be of another protocol. First, common requests are decoded
    /// in one pass; false leaves everything unchanged.
    bool decode_common(std::string_view line, bool accepts_writes, Request& request, Call& call) {
        return fast_.decode(line, accepts_writes, *arena_, request, call);
    }
    /// Then the line is parsed as JSON, valid until `release`; null, with the reason in `refused`, if it is
    /// none.
    const boost::json::value* parse(std::string_view line, Error& refused);
    /// Finally the JSON is decoded as a request of protocol v2.
    std::optional<Error> decode_parsed(const boost::json::value& value, bool accepts_writes, Request& request,
                                       Call& call);

    /// Decodes with the general path only; `decode` must give the same result. For tests.
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
