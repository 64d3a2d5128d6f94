#pragma once

#include <cstdint>

#include "engine/error.h"
#include "net/access.h"
#include "net/op_table.h"

namespace karma::net {

/// Why a request is not executed, whatever it says in detail.
enum class Denial : std::uint8_t {
    none,
    no_access,  // no token that is known
    read_only,  // a token that allows reading only
    role,       // a node that does not accept writes
};

/// Whether an op may be executed for a client with this access, on a node that accepts writes or does not.
/// The one rule for every protocol.
constexpr Denial authorize(const Op& op, Access::Level access, bool accepts_writes) noexcept {
    if (access == Access::Level::none) {
        return Denial::no_access;
    }
    if (access == Access::Level::read && (op.writes || op.is_administrative)) {
        return Denial::read_only;
    }
    return op.writes && !accepts_writes ? Denial::role : Denial::none;
}

/// What the client is told. `denial` is not none.
Error denial_error(Denial denial, const Op& op);

}  // namespace karma::net
