#pragma once

#include <span>
#include <string_view>

namespace karma::net {

/// The word of `known`, which is not empty, that is most similar to `word`: the one with the fewest
/// insertions, deletions, replacements and swaps of neighbours. Compares the first 64 bytes.
std::string_view nearest_word(std::string_view word, std::span<const std::string_view> known);

}  // namespace karma::net
