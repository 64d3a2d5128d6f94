#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace karma::cli {

// These work on the text of JSON and not on parsed values, so that numbers keep every digit as they were
// written. `json` must be valid JSON.

/// `text` as a JSON string.
std::string json_string(std::string_view text);

/// The text of the member `name` of an object, as it stands there; nothing when the object has no such member
/// (a name that is written with escapes does not count). The first of several.
std::optional<std::string_view> member_text(std::string_view json, std::string_view name);

/// Without white space between its parts.
std::string compact(std::string_view json);

/// One member or element a line, indented by two spaces a level. No newline at the end.
std::string indented(std::string_view json);

}  // namespace karma::cli
