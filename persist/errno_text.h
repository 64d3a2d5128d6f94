#pragma once

#include <cerrno>
#include <string>
#include <system_error>

namespace karma {

/// What the last system call that failed says about why.
inline std::string errno_text() { return std::generic_category().message(errno); }

}  // namespace karma
