#pragma once

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <system_error>
#include <unistd.h>

namespace karma {

/// Makes durable which names a directory holds. Returns why that failed, if it did.
inline std::error_code sync_directory(const std::filesystem::path& directory) {
    const int file = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool is_synced = file >= 0 && ::fsync(file) == 0;
    const std::error_code failure =
        is_synced ? std::error_code() : std::error_code(errno, std::generic_category());
    if (file >= 0) {
        ::close(file);
    }
    return failure;
}

}  // namespace karma
