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

/// The replies of a connection, encoded and in order. Holds each back until what it shows is durable and,
/// where that was asked for, on enough followers; puts an error in its place where that can no longer happen.
/// Knows no socket, no clock and no thread: it is fed with how far durability and acknowledgements have come.
class ReplyQueue {
public:
    using Time = std::chrono::steady_clock::time_point;

    /// What replies wait for before they may be sent.
    struct Wait {
        Lsn lsn = 0;                   // everything up to this one is durable
        Lsn ack_lsn = 0;               // and on enough followers up to this one; 0 waits for none
        Time ack_deadline{};           // after which they become errors
        std::uint64_t generation = 0;  // in which both LSNs mean what is meant here
        bool has_writes = false;       // else all of the replies only show something
    };

    /// How far both have come.
    struct Progress {
        Lsn durable_lsn = 0;
        Lsn acked_lsn = 0;
        std::uint64_t generation = 0;

        bool releases(const Wait& wait) const noexcept {
            return wait.lsn <= durable_lsn && wait.ack_lsn <= acked_lsn && !ended(wait);
        }
        /// Whether the LSNs that are waited for are of a history, or a role, that is no more.
        bool ended(const Wait& wait) const noexcept {
            return wait.generation != generation && (wait.lsn != 0 || wait.ack_lsn != 0);
        }
    };

    /// Replies are appended here, and nothing else is done to it. Not while a place is held.
    std::string& text() noexcept { return text_; }

    /// What was appended since the last call is so many replies, to requests of so many bytes, and waits for
    /// this; `write_error` is the form of the error that may come into their place. True when they have to
    /// wait for more progress than there is: `release` is to be called then.
    bool close_range(std::uint32_t replies, std::size_t request_bytes, const Wait& wait,
                     const Progress& progress, WriteError write_error);

    /// The next reply is still being made; nothing is appended behind it before it is there.
    void hold_place() noexcept { place_held_ = true; }
    bool is_place_held() const noexcept { return place_held_; }
    /// Puts a reply into the place that is held: a range of one reply, as by `close_range`.
    bool fill_place(std::string_view reply, const Wait& wait, const Progress& progress,
                    WriteError write_error);

    /// Lets go what waits for no more than this, up to the first reply that does.
    void release(const Progress& progress);
    /// Whether the first reply that waits does so in another generation than this one; if none does, none
    /// behind it does either.
    bool has_ended(const Progress& progress) noexcept {
        return !ranges_.empty() && progress.ended(ranges_.front().wait);
    }
    /// Each reply that waits in another generation than this one waits for nothing any more, and becomes this
    /// error, unless it only shows what is durable.
    void end_generations(const Progress& progress, const Error& error);
    /// Nothing above this will become durable: each reply that waits for it becomes this error, and waits for
    /// nothing.
    void fail_above(Lsn durable_lsn, const Error& error);
    /// Each reply whose time for being acknowledged is over becomes this error, and still waits to be
    /// durable.
    void expire_acks(Lsn acked_lsn, Time now, const Error& error);

    /// What may be sent now. Valid until the next change.
    std::string_view sendable() const noexcept;
    /// So much of it was sent.
    void note_sent(std::size_t size);

    /// Bytes of replies that were not sent.
    std::size_t bytes() const noexcept { return text_.size() - begin_; }
    /// Bytes of the requests whose replies wait.
    std::size_t waiting_request_bytes() const noexcept { return waiting_request_bytes_; }
    /// Replies wait to be released.
    bool has_waiting() const noexcept { return !ranges_.empty(); }
    /// Every reply was sent, and none is being made.
    bool empty() const noexcept { return !place_held_ && ranges_.empty() && sent_ == produced_; }

private:
    /// Replies that follow each other and wait for the same.
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
