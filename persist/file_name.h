#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace karma {

/// The name of a series as a part of a file's name: bytes that would leave the directory or that terminals
/// act upon are written as %XX, and so is '%'. The end of a very long one is replaced by a hash.
std::string file_name_of(std::string_view series);

/// The series that `file_name_of` made this part of a file's name of; nothing where it is none that it makes,
/// or the end was replaced by a hash.
std::optional<std::string> series_of_file_name(std::string_view name);

}  // namespace karma
