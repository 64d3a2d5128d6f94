#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace karma {

/// Whether a text is UTF-8, as JSON has to be.
bool is_utf8(std::string_view text) noexcept;

/// The text with each byte that is no part of a character replaced by U+FFFD.
std::string as_utf8(std::string_view text);

/// The beginning of a text of UTF-8: at most `bytes_max` bytes, cut between two characters.
std::string_view shortened_utf8(std::string_view text, std::size_t bytes_max) noexcept;

}  // namespace karma
