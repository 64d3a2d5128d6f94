#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "engine/reply.h"

namespace karma::net {

/// Writes replies as lines of protocol v2.
class ReplyWriter {
public:
    /// A reply line longer than `response_bytes_max` (0: no limit) is replaced by `response_too_large`.
    explicit ReplyWriter(std::size_t response_bytes_max) : response_bytes_max_(response_bytes_max) {}

    /// Appends the line to `out`. What is written of the points of a whole series is bounded by the limit and
    /// by the deadline, never held twice.
    ///
    /// Returns the code of the error that it wrote, or nothing for a success.
    std::optional<ErrorCode> write(const Reply& reply, Repetition repetition, const Deadline& deadline,
                                   std::string& out) const;

    /// Appends the line of a refusal to `out`.
    static void write_error(const Error& error, std::string& out);

private:
    std::size_t response_bytes_max_;
};

}  // namespace karma::net
