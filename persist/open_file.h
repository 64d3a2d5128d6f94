#pragma once

#include <fcntl.h>
#include <string>
#include <unistd.h>

namespace karma {

/// A file that is open for reading, and is closed again at the end.
class OpenFile {
public:
    /// `flags`: of open(2), beside those for reading.
    explicit OpenFile(const std::string& path, int flags = 0)
        : file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags)) {}
    OpenFile(const OpenFile&) = delete;
    OpenFile& operator=(const OpenFile&) = delete;
    ~OpenFile() {
        if (file_ >= 0) {
            ::close(file_);
        }
    }

    /// Less than 0: it could not be opened, and errno says why.
    int number() const noexcept { return file_; }

private:
    int file_;
};

}  // namespace karma
