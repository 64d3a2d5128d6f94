#include "net/byte_stream.h"

#include <cerrno>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace karma::net {

ByteStream::ByteStream(int file, std::unique_ptr<TlsSession> tls) noexcept
    : file_(file), tls_(std::move(tls)) {
    if (tls_ != nullptr) {
        tls_->set_file(file_);
    }
}

ByteStream::ByteStream(ByteStream&& other) noexcept
    : file_(std::exchange(other.file_, -1)), error_(other.error_), tls_(std::move(other.tls_)) {}

ByteStream& ByteStream::operator=(ByteStream&& other) noexcept {
    if (this != &other) {
        close();
        file_ = std::exchange(other.file_, -1);
        error_ = other.error_;
        tls_ = std::move(other.tls_);
    }
    return *this;
}

ByteStream::~ByteStream() { close(); }

IoResult ByteStream::failed(int error) noexcept {
    if (error == EAGAIN) {
        return {0, IoState::would_block};
    }
    error_ = error;
    return {0, IoState::failed};
}

IoResult ByteStream::read(std::span<char> room) noexcept {
    if (tls_ != nullptr) {
        return tls_->read(room);
    }
    while (true) {
        const ssize_t size = ::recv(file_, room.data(), room.size(), 0);
        if (size > 0) {
            return {static_cast<std::size_t>(size), IoState::done};
        }
        if (size == 0) {
            return {0, IoState::ended};
        }
        if (errno != EINTR) {
            return failed(errno);
        }
    }
}

IoResult ByteStream::write(std::string_view bytes) noexcept {
    if (tls_ != nullptr) {
        return tls_->write(bytes);
    }
    while (true) {
        const ssize_t size = ::send(file_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (size >= 0) {
            return {static_cast<std::size_t>(size), IoState::done};
        }
        if (errno != EINTR) {
            return failed(errno);
        }
    }
}

IoResult ByteStream::handshake() noexcept { return tls_ == nullptr ? IoResult{} : tls_->handshake(); }

short ByteStream::events_to_read() const noexcept {
    return tls_ != nullptr && tls_->read_waits_to_write() ? POLLOUT : POLLIN;
}

short ByteStream::events_to_write() const noexcept {
    return tls_ != nullptr && tls_->write_waits_to_read() ? POLLIN : POLLOUT;
}

std::size_t ByteStream::unread_bytes() const noexcept {
    int bytes = 0;
    const std::size_t unread =
        ::ioctl(file_, FIONREAD, &bytes) == 0 && bytes > 0 ? static_cast<std::size_t>(bytes) : 0;
    return unread + (tls_ == nullptr ? 0 : tls_->buffered_bytes());
}

std::size_t ByteStream::untaken_bytes() const noexcept {
    int bytes = 0;
    return ::ioctl(file_, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? static_cast<std::size_t>(bytes) : 0;
}

bool ByteStream::has_ended() noexcept {
    if (tls_ != nullptr) {
        return tls_->has_ended();
    }
    char next = 0;
    return ::recv(file_, &next, 1, MSG_PEEK) == 0;
}

void ByteStream::end_writing() noexcept {
    if (tls_ != nullptr) {
        tls_->end_writing();
    }
    ::shutdown(file_, SHUT_WR);
}

void ByteStream::end() noexcept {
    if (tls_ != nullptr) {
        tls_->end_writing();
    }
    ::shutdown(file_, SHUT_RDWR);
}

void ByteStream::close() noexcept {
    if (file_ < 0) {
        return;
    }
    if (tls_ != nullptr) {
        tls_->end_writing();
    }
    ::close(std::exchange(file_, -1));
}

std::string ByteStream::failure() const {
    if (tls_ != nullptr && !tls_->failure().empty()) {
        return tls_->failure();
    }
    return std::generic_category().message(error_);
}

}  // namespace karma::net
