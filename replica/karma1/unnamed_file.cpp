#include "replica/karma1/unnamed_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <system_error>
#include <unistd.h>

#include "engine/storage.h"

namespace karma::replica {
namespace {

[[noreturn]] void fail(const std::string& what) {
    throw StorageError("cannot " + what + ": " + std::generic_category().message(errno));
}

int create_without_name(const std::filesystem::path& directory) {
    std::string path = (directory / "karma.received-XXXXXX").string();
    const int file = ::mkostemp(path.data(), O_CLOEXEC);
    if (file < 0) {
        fail("create a file in " + directory.string());
    }
    ::unlink(path.c_str());
    return file;
}

}  // namespace

UnnamedFile::UnnamedFile(const std::filesystem::path& directory) : file_(create_without_name(directory)) {}

UnnamedFile::~UnnamedFile() {
    if (mapped_ != nullptr) {
        ::munmap(mapped_, size_);
    }
    ::close(file_);
}

void UnnamedFile::append(std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(file_, bytes.data(), bytes.size());
        if (written < 0 && errno != EINTR) {
            fail("write what the master sends");
        }
        const auto count = static_cast<std::size_t>(std::max<ssize_t>(written, 0));
        bytes.remove_prefix(count);
        size_ += count;
    }
}

std::string_view UnnamedFile::bytes() {
    if (size_ == 0) {
        return {};
    }
    if (mapped_ == nullptr) {
        void* const mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file_, 0);
        if (mapped == MAP_FAILED) {
            fail("map what the master has sent");
        }
        mapped_ = mapped;
    }
    return {static_cast<const char*>(mapped_), size_};
}

}  // namespace karma::replica
