#pragma once

#include <optional>
#include <string>

#include "net/call.h"
#include "net/reply_writer.h"

namespace karma::net {

/// Writes replies as lines of protocol v1: the responses are those of protocol v2, which hold every field
/// that v1 knows; the error codes are the seven of v1.
class V1ReplyWriter {
public:
    /// `writer` outlives this.
    explicit V1ReplyWriter(const ReplyWriter& writer) : writer_(writer) {}

    /// As ReplyWriter::write. `form` is one of v1. The code that it returns is that of the error itself, not
    /// what v1 calls it.
    std::optional<ErrorCode> write(ReplyForm form, const Reply& reply, const Deadline& deadline,
                                   std::string& out) const;

    /// Appends the line of a refusal to `out`. A code that v1 does not know is written as internal_error.
    static void write_error(const Error& error, std::string& out);

private:
    const ReplyWriter& writer_;
};

}  // namespace karma::net
