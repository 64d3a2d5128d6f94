#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace karma {

/// The name of a series as a part of a file's name. Bytes that would leave the directory or that terminals
/// act upon are written as %XX, and so is '%'. A hash replaces the end of a very long name.
std::string file_name_of(std::string_view series);

/// The series for which `file_name_of` gives this text; nothing if it gives it for none, or a hash has
/// replaced the end.
std::optional<std::string> series_of_file_name(std::string_view name);

}  // namespace karma
