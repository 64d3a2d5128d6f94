#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

#include "tests/support/temp_dir.h"

namespace karma::test {

// A file system in memory that holds no more than it is told, seen by nobody but the thread that made it and
// the processes that this thread starts. It is gone with them, however the test ends.
class SmallDisk {
public:
    // Null where the system allows nobody to mount one; `why` says it then.
    static std::unique_ptr<SmallDisk> make(std::size_t bytes, std::string& why);
    ~SmallDisk();
    SmallDisk(const SmallDisk&) = delete;
    SmallDisk& operator=(const SmallDisk&) = delete;

    const std::filesystem::path& path() const { return directory_.path(); }
    // Makes it larger. Throws std::system_error.
    void grow(std::size_t bytes);

private:
    SmallDisk() = default;

    TempDir directory_;
    bool mounted_ = false;
};

}  // namespace karma::test
