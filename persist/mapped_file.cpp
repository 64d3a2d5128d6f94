#include "persist/mapped_file.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "engine/storage.h"
#include "persist/errno_text.h"

namespace karma {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path) {
    throw StorageError("cannot read " + path.string() + ": " + errno_text());
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        fail(path);
    }
    struct stat status {};
    void* at = nullptr;
    const bool known = ::fstat(file, &status) == 0;
    if (known && status.st_size > 0) {
        at = ::mmap(nullptr, static_cast<std::size_t>(status.st_size), PROT_READ, MAP_PRIVATE, file, 0);
    }
    const int cause = errno;
    ::close(file);
    errno = cause;
    if (!known || at == MAP_FAILED) {
        fail(path);
    }
    if (at != nullptr) {
        bytes_ = {static_cast<const char*>(at), static_cast<std::size_t>(status.st_size)};
        ::madvise(at, bytes_.size(), MADV_SEQUENTIAL);
    }
}

MappedFile::~MappedFile() {
    if (!bytes_.empty()) {
        ::munmap(const_cast<char*>(bytes_.data()), bytes_.size());
    }
}

}  // namespace karma
