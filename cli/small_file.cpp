#include "cli/small_file.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "cli/command_line.h"
#include "persist/open_file.h"

namespace karma::cli {

namespace {

[[noreturn]] void refuse_file(const std::string& what, int reason) {
    throw UsageError(what + " cannot be read: " + std::generic_category().message(reason));
}

}  // namespace

std::string read_small_file(const std::string& path, std::size_t bytes_max, const std::string& what) {
    // Does not wait for somebody who writes into a named pipe.
    const OpenFile file(path, O_NONBLOCK | O_NOCTTY);
    if (file.number() < 0) {
        refuse_file(what, errno);
    }
    // From here on it waits: a shell may still be writing into the pipe of <(command).
    ::fcntl(file.number(), F_SETFL, 0);
    std::string text(bytes_max + 1, '\0');
    std::size_t size = 0;
    while (size < text.size()) {
        const ssize_t count = ::read(file.number(), text.data() + size, text.size() - size);
        if (count < 0 && errno != EINTR) {
            refuse_file(what, errno);
        }
        if (count == 0) {
            break;
        }
        size += count > 0 ? static_cast<std::size_t>(count) : 0;
    }
    if (size > bytes_max) {
        throw UsageError(what + " is larger than " + std::to_string(bytes_max) + " bytes");
    }
    text.resize(size);
    return text;
}

bool is_readable_by_others(const std::string& path) {
    constexpr mode_t others = 0007;
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 && (status.st_mode & others) != 0;
}

}  // namespace karma::cli
