#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/error.h"
#include "engine/number.h"
#include "net/call.h"
#include "net/queue.h"

namespace karma::net {

/// The replies of a connection, encoded and in order. Keeps each reply until what it shows is durable and, if
/// required, acknowledged by enough followers; puts an error in its place when that can no longer happen.
/// Knows no socket, no clock and no thread: the caller tells it the durable and the acknowledged LSN.
class ReplyQueue {
public:
    using Time = std::chrono::steady_clock::time_point;

    /// The conditions under which replies may be sent.
    struct Wait {
        Lsn lsn = 0;                   // everything up to this LSN is durable
        Lsn ack_lsn = 0;               // enough followers have everything up to this LSN; 0: none need to
        Time ack_deadline{};           // the replies become errors when `ack_lsn` is not acknowledged by then
        std::uint64_t generation = 0;  // of the history to which both LSNs belong
        bool has_writes = false;       // false: all of the replies are to reads
    };

    /// What is durable and acknowledged now.
    struct Progress {
        Lsn durable_lsn = 0;
        Lsn acked_lsn = 0;
        std::uint64_t generation = 0;

        bool releases(const Wait& wait) const noexcept {
            return wait.lsn <= durable_lsn && wait.ack_lsn <= acked_lsn && !ended(wait);
        }
        /// Whether the LSNs of `wait` belong to an earlier history or role of this node.
        bool ended(const Wait& wait) const noexcept {
            return wait.generation != generation && (wait.lsn != 0 || wait.ack_lsn != 0);
        }
    };

    /// The caller appends replies here, and changes nothing else. Not while a place is held.
    std::string& text() noexcept { return text_; }

    /// Makes a reply range of what was appended since the last call: `replies` replies, to requests of
    /// `request_bytes` bytes in all, that wait for `wait`. `write_error` writes the errors that may replace
    /// them. True when `progress` does not release them: the caller then calls `release` on later progress.
    bool close_range(std::uint32_t replies, std::size_t request_bytes, const Wait& wait,
                     const Progress& progress, WriteError write_error);

    /// Holds the place of a reply that is still being made. Nothing is appended before `fill_place`.
    void hold_place() noexcept { place_held_ = true; }
    bool is_place_held() const noexcept { return place_held_; }
    /// Puts the reply into the held place: a range of one reply, as by `close_range`.
    bool fill_place(std::string_view reply, const Wait& wait, const Progress& progress,
                    WriteError write_error);

    /// Releases the ranges that `progress` allows, up to the first one that has to wait longer.
    void release(const Progress& progress);
    /// Whether the first pending reply waits in an earlier generation; if it does not, no other one does.
    bool has_ended(const Progress& progress) noexcept {
        return !ranges_.empty() && progress.ended(ranges_.front().wait);
    }
    /// Ends the wait of each reply of an earlier generation, and replaces it by this error, unless it is to
    /// reads and shows only what is durable.
    void end_generations(const Progress& progress, const Error& error);
    /// Nothing above `durable_lsn` will become durable: replaces each reply that waits for more by this
    /// error, and ends its wait.
    void fail_above(Lsn durable_lsn, const Error& error);
    /// Replaces each reply whose `ack_deadline` is over by this error, which still waits until the event is
    /// durable.
    void expire_acks(Lsn acked_lsn, Time now, const Error& error);

    /// The bytes that may be sent now. Valid until the next change.
    std::string_view sendable() const noexcept;
    /// `size` bytes of `sendable` were sent.
    void note_sent(std::size_t size);

    /// Bytes of all replies that were not sent yet.
    std::size_t bytes() const noexcept { return text_.size() - begin_; }
    /// Bytes of the requests whose replies wait.
    std::size_t waiting_request_bytes() const noexcept { return waiting_request_bytes_; }
    /// There are replies that were not released yet.
    bool has_waiting() const noexcept { return !ranges_.empty(); }
    /// Every reply was sent, and none is being made.
    bool empty() const noexcept { return !place_held_ && ranges_.empty() && sent_ == produced_; }

private:
    /// Consecutive replies with the same wait.
    struct Range {
        std::uint64_t end = 0;  // position in the stream of replies
        std::uint32_t replies = 0;
        std::size_t request_bytes = 0;
        Wait wait;
        WriteError write_error = nullptr;
    };

    template <typename EndWait>
    void replace(const Error& error, EndWait&& end_wait);

    std::string text_;  // from position sent_ on, behind begin_ bytes that were sent
    std::size_t begin_ = 0;
    std::uint64_t sent_ = 0;
    std::uint64_t sendable_ = 0;
    std::uint64_t produced_ = 0;  // up to here ranges were closed
    Queue<Range> ranges_;
    std::size_t waiting_request_bytes_ = 0;
    bool place_held_ = false;
};

}  // namespace karma::net
