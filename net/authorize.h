#pragma once

#include <cstdint>

#include "engine/error.h"
#include "net/access.h"
#include "net/op.h"

namespace karma::net {

/// Why a request is not executed, whatever it says in detail.
enum class Denial : std::uint8_t {
    none,
    no_access,  // no token that is known
    read_only,  // a token that allows reading only
    not_admin,  // a token that allows no administration
    role,       // a node that does not accept writes
};

/// Whether an op may be executed for a client with this access, on a node that accepts writes or does not.
/// The one rule for every protocol.
inline Denial authorize(const Op& op, Access::Level access, bool accepts_writes) noexcept {
    if (access == Access::Level::none) {
        return Denial::no_access;
    }
    if (access == Access::Level::read && (op.writes() || op.access == OpAccess::administrative)) {
        return Denial::read_only;
    }
    if (access == Access::Level::write && op.is_for_admins()) {
        return Denial::not_admin;
    }
    return op.writes() && !accepts_writes ? Denial::role : Denial::none;
}

/// Whether a request concerns only series that a token is for. One that concerns others too, or all, does
/// not, nor do ingest streams and exports, which are named by ids of their own.
bool is_within(const SeriesGlobs& series, const Request& request);

/// What a client is told whose request is not within the series of its token.
Error series_denial(const Op& op);

/// What the client is told. `denial` is not none.
Error denial_error(Denial denial, const Op& op);

}  // namespace karma::net
