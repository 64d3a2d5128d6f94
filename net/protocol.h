#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/reply.h"
#include "engine/request.h"
#include "net/call.h"
#include "net/line_buffer.h"

namespace karma::net {

/// How one client's bytes become requests, and outcomes its replies. One object for each connection; knows no
/// socket. Belongs to the connection's thread but for `write`, which is called from any.
class Protocol {
public:
    enum class Taken : std::uint8_t {
        nothing,  // there is no complete request
        request,
        refusal,       // of something that is no good request
        last_refusal,  // the same, and nothing that follows can be understood
    };

    Protocol() = default;
    Protocol(const Protocol&) = delete;
    Protocol& operator=(const Protocol&) = delete;
    virtual ~Protocol() = default;

    /// Takes the next complete request out of the input. What `request` borrows is good until the input
    /// changes or the decoder is released. `call.received` is the caller's.
    virtual Taken take(LineBuffer& input, bool accepts_writes, Request& request, Call& call,
                       Error& refusal) = 0;

    /// Puts back what `take` has just taken.
    virtual void put_back(LineBuffer& input) noexcept = 0;

    /// Frees what the requests taken so far have borrowed.
    virtual void release() noexcept = 0;

    /// Appends the reply of a call to `out`. Returns the code of the error that it wrote, or nothing for a
    /// success.
    virtual std::optional<ErrorCode> write(const Call& call, const Reply& reply, Repetition repetition,
                                           const Deadline& deadline, std::string& out) const = 0;

    /// Writes the error of something that no call has become.
    virtual WriteError error_writer() const noexcept = 0;
};

}  // namespace karma::net
