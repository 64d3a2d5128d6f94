#pragma once

#include <cstddef>
#include <string>

namespace karma::cli {

/// The bytes of a file, or of a pipe that is open at its other end. Throws UsageError when it cannot be read
/// or holds more than `bytes_max`: `what`, then the reason.
std::string read_small_file(const std::string& path, std::size_t bytes_max, const std::string& what);

/// Whether others than its user and group may read the file.
bool is_readable_by_others(const std::string& path);

}  // namespace karma::cli
