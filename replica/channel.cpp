#include "replica/channel.h"

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

Channel::Channel(std::unique_ptr<PeerStream> stream, std::string received, std::size_t payload_max)
    : stream_(std::move(stream)),
      payload_max_(payload_max),
      in_(std::move(received)),
      bytes_received_(in_.size()) {}

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

void Channel::pump(std::chrono::milliseconds wait_max, bool receives) {
    send();
    if (receives && in_.size() - in_begin_ >= input_bytes_max && next_frame_is_whole()) {
        return;  // there is enough to be looked at
    }
    const PeerStream::Ready ready = stream_->wait(receives, queued_bytes() != 0, wait_max);
    if (ready.to_receive) {
        receive();
    }
    if (ready.to_send) {
        send();
    }
}

void Channel::send() {
    while (queued_bytes() != 0) {
        const std::size_t sent = stream_->send(std::string_view(out_).substr(out_begin_));
        if (sent == 0) {
            break;
        }
        out_begin_ += sent;
        bytes_sent_ += sent;
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
    std::size_t got = 0;
    try {
        got = stream_->receive(in_.data() + before, read_bytes);
    } catch (...) {
        in_.resize(before);
        throw;
    }
    in_.resize(before + got);
    bytes_received_ += got;
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
