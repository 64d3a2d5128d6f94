#pragma once

#include <span>
#include <string_view>

namespace karma::net {

/// The one of `known`, which is not empty, that is most like a word of which the first 64 bytes count: the
/// fewest characters have to be put in, taken out, replaced or swapped with their neighbours.
std::string_view nearest_word(std::string_view word, std::span<const std::string_view> known);

}  // namespace karma::net
