#pragma once

#include <cerrno>
#include <string>
#include <system_error>

namespace karma {

/// The text of errno: why the last failed system call failed.
inline std::string errno_text() { return std::generic_category().message(errno); }

}  // namespace karma
