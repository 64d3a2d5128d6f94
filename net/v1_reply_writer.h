#pragma once

#include <optional>
#include <string>

#include "net/call.h"
#include "net/reply_writer.h"

namespace karma::net {

/// Writes replies as lines of protocol v1. The responses are those of v2, which have all fields of v1; the
/// error codes are the seven of v1.
class V1ReplyWriter {
public:
    /// `writer` outlives this.
    explicit V1ReplyWriter(const ReplyWriter& writer) : writer_(writer) {}

    /// As ReplyWriter::write. `form` is one of v1. Returns the code of the error itself, not the code that v1
    /// has for it.
    std::optional<ErrorCode> write(ReplyForm form, const Reply& reply, const Deadline& deadline,
                                   std::string& out) const;

    /// Appends the line of an error to `out`. Codes that v1 does not have become internal_error.
    static void write_error(const Error& error, std::string& out);

private:
    const ReplyWriter& writer_;
};

}  // namespace karma::net
