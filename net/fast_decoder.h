#pragma once

#include <string_view>

#include <boost/json/memory_resource.hpp>

#include "engine/request.h"
#include "net/access.h"

namespace karma::net {

/// Reads the common requests in one pass, without building a document: flat objects with the usual fields in
/// any order, plain numbers, strings without escapes or characters beyond ASCII.
///
/// It accepts only what the general path accepts, with the same result, and never refuses anything: whatever
/// is unusual or wrong gives false and leaves the request as it was, and the general path decides. Texts of
/// the request point into the line, arrays into the arena.
bool decode_fast(std::string_view line, const Access& access, bool accepts_writes,
                 boost::json::memory_resource& arena, Request& request);

/// A mutation with its key; a copy of the mutation is made in the arena.
KeyedMutation make_keyed(const Mutation& body, std::string_view key, std::string_view fingerprint,
                         boost::json::memory_resource& arena);

}  // namespace karma::net
