#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace karma {

/// Unix seconds of an instant written as RFC 3339 has it, "2026-05-05T13:30:00.25+02:00"; a fraction of a
/// second is cut off. Nothing where the text is no such instant.
std::optional<std::int64_t> unix_from_rfc3339(std::string_view text) noexcept;

}  // namespace karma
