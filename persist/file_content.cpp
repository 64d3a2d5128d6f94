#include "persist/file_content.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/storage.h"
#include "persist/errno_text.h"

namespace karma {
namespace {

/// Closed again.
class FileToRead {
public:
    explicit FileToRead(const std::filesystem::path& path)
        : path_(path), number_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
        if (number_ < 0) {
            fail();
        }
    }
    FileToRead(const FileToRead&) = delete;
    FileToRead& operator=(const FileToRead&) = delete;
    ~FileToRead() { ::close(number_); }

    std::size_t size() const {
        struct stat status {};
        if (::fstat(number_, &status) != 0) {
            fail();
        }
        return static_cast<std::size_t>(status.st_size);
    }

    /// 0 at the end.
    std::size_t read(char* to, std::size_t size) const {
        for (;;) {
            const ssize_t taken = ::read(number_, to, size);
            if (taken >= 0) {
                return static_cast<std::size_t>(taken);
            }
            if (errno != EINTR) {
                fail();
            }
        }
    }

private:
    [[noreturn]] void fail() const {
        throw StorageError("cannot read " + path_.string() + ": " + errno_text());
    }

    const std::filesystem::path& path_;
    int number_;
};

}  // namespace

FileContent::FileContent(const std::filesystem::path& path) {
    const FileToRead file(path);
    const std::size_t size = file.size();
    buffer_ = std::make_unique_for_overwrite<char[]>(size);
    std::size_t done = 0;
    for (std::size_t taken = 1; done < size && taken != 0; done += taken) {
        taken = file.read(buffer_.get() + done, size - done);
    }
    if (done < size) {
        throw StorageError("cannot read " + path.string() + ": it was cut meanwhile, from " +
                           std::to_string(size) + " bytes to " + std::to_string(done));
    }
    bytes_ = {buffer_.get(), size};
}

}  // namespace karma
