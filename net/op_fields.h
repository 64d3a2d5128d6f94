#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/object.hpp>

#include "net/op.h"

/// The fields of an op by their names: for the daemon (--unknown-fields=refuse), for `karma call` and for the
/// pages that describe ops.
namespace karma::net {

/// Those of the description and, of ops that take one, the idempotency key and its fingerprint.
std::vector<OpField> op_fields(const Op& op);

/// The fields of an op as a person reads them: names that mean the same joined by '|', optional ones in
/// brackets: "series|tree key [bucket|date] [value] [idempotency_key] [fingerprint]". Empty where it takes
/// none.
std::string op_fields_text(const Op& op);

/// The names of the fields that an op takes, without v, op and token, which all take.
std::vector<std::string_view> op_field_names(const Op& op);

/// Nothing when the op takes all members of the request; else a sentence that names the first one that it
/// does not take ("range.form" for one of an object in it), the nearest one that it does, and all of them.
/// Ops by which nodes talk to each other take any, so that nodes of different versions can.
std::optional<std::string> unknown_field(const Op& op, const boost::json::object& request);

}  // namespace karma::net
