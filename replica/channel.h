#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "replica/network.h"

namespace karma::replica {

/// The kinds of frames: docs/replication.md describes each.
enum class FrameKind : std::uint8_t {
    // From who is followed:
    state_piece = 1,
    state_end = 2,
    events = 3,
    heartbeat = 4,
    digest_at = 5,
    digest = 6,
    // From who follows:
    acknowledged = 16,
    digest_wanted = 17,
    digest_result = 18,
    alive = 19,
    list_stored = 20,
};

struct Frame {
    FrameKind kind = FrameKind::alive;
    std::string_view payload;
};

/// A connection that carries frames in both directions: a byte for the kind, the length and the CRC-32 of the
/// payload in four bytes each, big-endian, and the payload. Belongs to one thread, except `wake`. Only `pump`
/// blocks, for as long as its argument allows.
class Channel {
public:
    /// The longest payload that is accepted; a group of events or a page of a series is one payload.
    static constexpr std::size_t payload_bytes_max = 1U << 30U;

    /// `received` has the bytes that were read before.
    explicit Channel(std::unique_ptr<PeerStream> stream, std::string received = {},
                     std::size_t payload_max = payload_bytes_max);
    explicit Channel(net::ByteStream stream, std::string received = {},
                     std::size_t payload_max = payload_bytes_max)
        : Channel(make_peer_stream(std::move(stream)), std::move(received), payload_max) {}

    void queue(FrameKind kind, std::string_view payload);
    /// Queues a frame of numbers and, behind them, `text`.
    void queue_numbers(FrameKind kind, std::initializer_list<std::uint64_t> numbers,
                       std::string_view text = {});
    /// Queues bytes before the first frame.
    void queue_raw(std::string_view bytes) { out_ += bytes; }
    std::size_t queued_bytes() const noexcept { return out_.size() - out_begin_; }

    /// Sends and receives what it can; if that is nothing, waits until something can be sent or received, for
    /// a wake, or for `wait_max`. Receives nothing if `receives` is false. Throws ChannelError.
    void pump(std::chrono::milliseconds wait_max, bool receives = true);

    /// The next frame that has arrived completely; valid until the next pump. Throws ChannelError when it is
    /// damaged.
    std::optional<Frame> next_frame();

    /// Lets the other end know that nothing more will come.
    void end() noexcept { stream_->end(); }

    /// Ends a wait of `pump`, or the next one. From any thread.
    void wake() noexcept { stream_->wake(); }

    std::uint64_t bytes_sent() const noexcept { return bytes_sent_; }
    /// With those that were there at the beginning.
    std::uint64_t bytes_received() const noexcept { return bytes_received_; }

private:
    void send();
    void receive();
    bool next_frame_is_whole() const;

    std::unique_ptr<PeerStream> stream_;
    std::size_t payload_max_;
    std::string out_;
    std::size_t out_begin_ = 0;
    std::string in_;
    std::size_t in_begin_ = 0;
    std::uint64_t bytes_sent_ = 0;
    std::uint64_t bytes_received_ = 0;
};

/// Numbers in payloads: eight bytes, the highest first.
void append_number(std::string& out, std::uint64_t number);
/// Takes one off the front. Throws ChannelError when there is none.
std::uint64_t take_number(std::string_view& payload);

}  // namespace karma::replica
