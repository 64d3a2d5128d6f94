#include "replica/channel.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "engine/checksum.h"

namespace karma::replica {
namespace {

constexpr std::size_t head_bytes = 9;
constexpr std::size_t read_bytes = 256 * 1024;
/// No more is read while this much waits to be looked at.
constexpr std::size_t input_bytes_max = 4U << 20U;

std::uint64_t from_bytes(std::string_view bytes) noexcept {
    std::uint64_t number = 0;
    for (const char c : bytes) {
        number = (number << 8U) | static_cast<unsigned char>(c);
    }
    return number;
}

void append_bytes(std::string& out, std::uint64_t number, unsigned bytes) {
    for (unsigned i = bytes; i-- > 0;) {
        out.push_back(static_cast<char>(number >> (8 * i)));
    }
}

[[noreturn]] void fail(const char* what) {
    throw ChannelError(std::string(what) + ": " + std::generic_category().message(errno));
}

}  // namespace

void append_number(std::string& out, std::uint64_t number) { append_bytes(out, number, 8); }

std::uint64_t take_number(std::string_view& payload) {
    if (payload.size() < 8) {
        throw ChannelError("a frame is too short");
    }
    const std::uint64_t number = from_bytes(payload.substr(0, 8));
    payload.remove_prefix(8);
    return number;
}

Channel::Channel(int file, std::string received, std::size_t payload_max)
    : file_(file),
      payload_max_(payload_max),
      wake_file_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      in_(std::move(received)) {
    const int one = 1;
    ::setsockopt(file_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (wake_file_ < 0) {
        const int failure = errno;
        ::close(file_);
        errno = failure;
        fail("cannot make an event file");
    }
}

Channel::~Channel() {
    ::close(file_);
    ::close(wake_file_);
}

void Channel::queue(FrameKind kind, std::string_view payload) {
    out_.push_back(static_cast<char>(kind));
    append_bytes(out_, payload.size(), 4);
    append_bytes(out_, crc32_of(payload), 4);
    out_ += payload;
}

void Channel::queue_numbers(FrameKind kind, std::initializer_list<std::uint64_t> numbers,
                            std::string_view text) {
    std::string payload;
    for (const std::uint64_t number : numbers) {
        append_number(payload, number);
    }
    payload += text;
    queue(kind, payload);
}

void Channel::end() noexcept { ::shutdown(file_, SHUT_RDWR); }

void Channel::wake() noexcept {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_file_, &one, sizeof one);
}

void Channel::pump(std::chrono::milliseconds wait_max, bool receives) {
    send();
    if (receives && in_.size() - in_begin_ >= input_bytes_max && next_frame_is_whole()) {
        return;  // there is enough to be looked at
    }
    std::array<pollfd, 2> files{};
    const int wanted = (receives ? POLLIN : 0) | (queued_bytes() == 0 ? 0 : POLLOUT);
    files[0] = {file_, static_cast<short>(wanted), 0};
    files[1] = {wake_file_, POLLIN, 0};
    const int ready = ::poll(files.data(), files.size(), static_cast<int>(wait_max.count()));
    if (ready < 0 && errno != EINTR) {
        fail("cannot wait for the other end");
    }
    if (ready <= 0) {
        return;
    }
    if (files[1].revents != 0) {
        std::uint64_t count = 0;
        [[maybe_unused]] const auto taken = ::read(wake_file_, &count, sizeof count);
    }
    // What is wrong with a connection shows itself in what is read from it, or sent next.
    if (receives && (files[0].revents & ~POLLOUT) != 0) {
        receive();
    }
    if ((files[0].revents & POLLOUT) != 0) {
        send();
    }
}

void Channel::send() {
    while (queued_bytes() != 0) {
        const ssize_t sent = ::send(file_, out_.data() + out_begin_, queued_bytes(), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0 && errno == EAGAIN) {
            break;
        }
        if (sent < 0) {
            fail("the connection broke");
        }
        out_begin_ += static_cast<std::size_t>(sent);
        bytes_sent_ += static_cast<std::uint64_t>(sent);
    }
    if (queued_bytes() == 0) {
        out_.clear();
        out_begin_ = 0;
    } else if (out_begin_ > read_bytes) {
        out_.erase(0, out_begin_);
        out_begin_ = 0;
    }
}

void Channel::receive() {
    in_.erase(0, std::exchange(in_begin_, 0));
    const std::size_t before = in_.size();
    in_.resize(before + read_bytes);
    const ssize_t got = ::recv(file_, in_.data() + before, read_bytes, 0);
    const int failure = errno;
    in_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (got == 0) {
        throw ChannelError("the other end closed the connection");
    }
    if (got < 0 && failure != EAGAIN && failure != EINTR) {
        errno = failure;
        fail("the connection broke");
    }
    bytes_received_ += static_cast<std::uint64_t>(std::max<ssize_t>(got, 0));
}

bool Channel::next_frame_is_whole() const {
    const std::string_view rest = std::string_view(in_).substr(in_begin_);
    return rest.size() >= head_bytes && rest.size() - head_bytes >= from_bytes(rest.substr(1, 4));
}

std::optional<Frame> Channel::next_frame() {
    const std::string_view rest = std::string_view(in_).substr(in_begin_);
    if (rest.size() < head_bytes) {
        return std::nullopt;
    }
    const std::uint64_t size = from_bytes(rest.substr(1, 4));
    if (size > payload_max_) {
        throw ChannelError("a frame of " + std::to_string(size) + " bytes is announced");
    }
    if (rest.size() - head_bytes < size) {
        return std::nullopt;
    }
    const Frame frame{static_cast<FrameKind>(rest[0]), rest.substr(head_bytes, size)};
    if (crc32_of(frame.payload) != from_bytes(rest.substr(5, 4))) {
        throw ChannelError("the checksum of a frame does not match");
    }
    in_begin_ += head_bytes + size;
    return frame;
}

}  // namespace karma::replica
