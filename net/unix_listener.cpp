#include "net/unix_listener.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace karma::net {
namespace {

[[noreturn]] void refuse_path(const std::string& path, const std::string& why) {
    throw std::runtime_error("cannot listen on unix:" + path + ": " + why);
}

std::string errno_message() { return std::generic_category().message(errno); }

enum class Left { nothing, stale };

/// The file that is at the path already. Throws if it must not be replaced.
Left what_is_at(const std::string& path) {
    sockaddr_un address{};
    if (path.size() >= sizeof address.sun_path) {
        refuse_path(path,
                    "the path is longer than " + std::to_string(sizeof address.sun_path - 1) + " bytes");
    }
    struct stat status {};
    const std::string parent = std::filesystem::path(path).parent_path().string();
    if (::access(parent.empty() ? "." : parent.c_str(), W_OK | X_OK) != 0) {
        refuse_path(path, errno_message());
    }
    if (::lstat(path.c_str(), &status) != 0) {
        if (errno == ENOENT) {
            return Left::nothing;
        }
        refuse_path(path, errno_message());
    }
    if (!S_ISSOCK(status.st_mode)) {
        refuse_path(path, "there is something else");
    }
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    const int file = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (file < 0) {
        refuse_path(path, errno_message());
    }
    const bool is_answered =
        ::connect(file, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    const int error = errno;
    ::close(file);
    if (is_answered || error == EAGAIN) {
        refuse_path(path, "another process listens there");
    }
    if (error != ECONNREFUSED) {
        refuse_path(path, std::generic_category().message(error));
    }
    return Left::stale;
}

}  // namespace

UnixSocketFile::UnixSocketFile(std::string path) : path_(std::move(path)) {
    struct stat status {};
    if (::lstat(path_.c_str(), &status) != 0) {
        path_.clear();
        return;
    }
    device_ = status.st_dev;
    number_ = status.st_ino;
}

UnixSocketFile::UnixSocketFile(UnixSocketFile&& other) noexcept
    : path_(std::exchange(other.path_, {})), device_(other.device_), number_(other.number_) {}

UnixSocketFile& UnixSocketFile::operator=(UnixSocketFile&& other) noexcept {
    if (this != &other) {
        remove();
        path_ = std::exchange(other.path_, {});
        device_ = other.device_;
        number_ = other.number_;
    }
    return *this;
}

UnixSocketFile::~UnixSocketFile() { remove(); }

void UnixSocketFile::remove() noexcept {
    struct stat status {};
    if (!path_.empty() && ::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ &&
        status.st_ino == number_) {
        ::unlink(path_.c_str());
    }
    path_.clear();
}

void check_unix_path(const std::string& path) { (void)what_is_at(path); }

boost::asio::local::stream_protocol::acceptor bind_unix(const std::string& path,
                                                        boost::asio::io_context& context,
                                                        UnixSocketFile& file) {
    if (what_is_at(path) == Left::stale && ::unlink(path.c_str()) != 0 && errno != ENOENT) {
        refuse_path(path, errno_message());
    }
    boost::asio::local::stream_protocol::acceptor acceptor(context);
    boost::system::error_code failure;
    acceptor.open(boost::asio::local::stream_protocol(), failure);
    if (!failure) {
        acceptor.bind(boost::asio::local::stream_protocol::endpoint(path), failure);
    }
    if (failure) {
        refuse_path(path, failure.message());
    }
    file = UnixSocketFile(path);
    if (::chmod(path.c_str(), 0660) != 0) {
        refuse_path(path, errno_message());
    }
    return acceptor;
}

}  // namespace karma::net
