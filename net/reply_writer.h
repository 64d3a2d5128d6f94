#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "engine/reply.h"
#include "net/call.h"

namespace karma::net {

/// Appends the line of a refusal to `out`. It begins with `begin`, up to the value of its field response.
void append_error_line(std::string_view begin, std::string_view message, std::string_view code,
                       std::string& out);

/// Writes replies as lines of protocol v2.
class ReplyWriter {
public:
    /// A reply line longer than `response_bytes_max` (0: no limit) is replaced by `response_too_large`.
    explicit ReplyWriter(std::size_t response_bytes_max) : response_bytes_max_(response_bytes_max) {}

    /// Appends the line to `out`. What is written of the points of a whole series is bounded by the limit and
    /// by the deadline, never held twice.
    ///
    /// Returns the code of the error that it wrote, or nothing for a success.
    std::optional<ErrorCode> write(const Reply& reply, Deduplication deduplication, const Deadline& deadline,
                                   std::string& out) const;

    /// Appends the line of a refusal to `out`.
    static void write_error(const Error& error, std::string& out);

    /// What a line has around its response, in some protocol.
    struct Frame {
        std::string_view begin;
        std::string_view end;
        WriteError write_error = nullptr;
        bool has_pages = true;  // whoever gets too much can ask for it in pages
    };

    /// The same as `write`, in that frame.
    std::optional<ErrorCode> write_framed(const Reply& reply, const Frame& frame, const Deadline& deadline,
                                          std::string& out) const;

private:
    std::size_t response_bytes_max_;
};

}  // namespace karma::net
