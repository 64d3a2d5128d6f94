#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <variant>

#include "engine/error.h"
#include "engine/request.h"
#include "net/fields.h"

namespace karma::net {

/// What a decoder makes of a request's fields: the request, or the refusal that is certain already.
using Decoded = std::variant<Request, Error>;

/// One op of protocol v2. This table is the list of what the daemon understands: an op is added here and
/// nowhere else in this folder.
struct Op {
    std::string_view name;
    /// Changes something: refused to the read token, and by slaves.
    bool writes = false;
    /// Takes an `idempotency_key`.
    bool idempotent = false;
    Decoded (*decode)(const Fields& fields) = nullptr;
    /// Administrative: refused to the read token, executed in every role.
    bool is_administrative = false;
    /// Refused to tokens that may write but not administrate, though it is executed as any write.
    bool needs_admin = false;
};

/// The most that one request can fetch of a file.
inline constexpr std::size_t fetched_bytes_max = 1'048'576;

/// The op of a name or an alias; null where there is none.
const Op* find_op(std::string_view name) noexcept;

/// All names, aliases included, with their ops.
struct OpName {
    std::string_view name;
    Op op;
};
std::span<const OpName> all_ops() noexcept;

}  // namespace karma::net
