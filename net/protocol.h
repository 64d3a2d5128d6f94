#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/reply.h"
#include "engine/request.h"
#include "net/call.h"
#include "net/line_buffer.h"

namespace karma::net {

/// Turns one client's bytes into requests, and outcomes into replies. One object for each connection; knows
/// no socket. Belongs to the connection's thread, except `write`, which any thread may call.
class Protocol {
public:
    enum class Taken : std::uint8_t {
        nothing,  // there is no complete request
        request,
        refusal,       // a request that is refused before it is executed
        last_refusal,  // the same, and the rest of the input cannot be understood
    };

    Protocol() = default;
    Protocol(const Protocol&) = delete;
    Protocol& operator=(const Protocol&) = delete;
    virtual ~Protocol() = default;

    /// Takes the next complete request out of the input. What `request` borrows is valid until the input
    /// changes or `release` is called. Fills `call`, except `call.received`, which the caller sets.
    virtual Taken take(LineBuffer& input, bool accepts_writes, Request& request, Call& call,
                       Error& refusal) = 0;

    /// Puts the request that `take` took last back into the input.
    virtual void put_back(LineBuffer& input) noexcept = 0;

    /// Frees the memory that the requests taken so far borrow.
    virtual void release() noexcept = 0;

    /// Appends the reply of a call to `out`. Returns the code of the error that it wrote, or nothing for a
    /// success.
    virtual std::optional<ErrorCode> write(const Call& call, const Reply& reply, Deduplication deduplication,
                                           const Deadline& deadline, std::string& out) const = 0;

    /// Writes an error when there is no call.
    virtual WriteError error_writer() const noexcept = 0;
};

}  // namespace karma::net
