#include "net/reply_queue.h"

#include <algorithm>

namespace karma::net {
namespace {

/// Memory that a queue keeps when nothing is in it.
constexpr std::size_t bytes_kept = 16 * 1024;
/// What was sent is removed from the front when it is more than this.
constexpr std::size_t sent_bytes_max = 1024 * 1024;

}  // namespace

bool ReplyQueue::close_range(std::uint32_t replies, std::size_t request_bytes, const Wait& wait,
                             const Progress& progress, WriteError write_error) {
    produced_ = sent_ + bytes();
    const bool must_wait = !progress.releases(wait);
    if (ranges_.empty() && !must_wait) {
        sendable_ = produced_;
        return false;
    }
    waiting_request_bytes_ += request_bytes;
    Range range{produced_, replies, request_bytes, wait, write_error};
    if (wait.ack_lsn <= progress.acked_lsn) {
        range.wait.ack_lsn = 0;
    }
    ranges_.push(range);
    return must_wait;
}

bool ReplyQueue::fill_place(std::string_view reply, const Wait& wait, const Progress& progress,
                            WriteError write_error) {
    place_held_ = false;
    text_ += reply;
    return close_range(1, 0, wait, progress, write_error);
}

void ReplyQueue::release(const Progress& progress) {
    while (!ranges_.empty() && progress.releases(ranges_.front().wait)) {
        const Range first = ranges_.pop();
        sendable_ = first.end;
        waiting_request_bytes_ -= first.request_bytes;
    }
    if (ranges_.empty()) {
        sendable_ = produced_;
    }
}

void ReplyQueue::end_generations(const Progress& progress, const Error& error) {
    replace(error, [&](Wait& wait) {
        if (!progress.ended(wait)) {
            return false;
        }
        const bool is_error = wait.has_writes || wait.lsn > progress.durable_lsn;
        wait = {};
        return is_error;
    });
}

void ReplyQueue::fail_above(Lsn durable_lsn, const Error& error) {
    replace(error, [&](Wait& wait) {
        if (wait.lsn <= durable_lsn) {
            return false;
        }
        wait = {};
        return true;
    });
}

void ReplyQueue::expire_acks(Lsn acked_lsn, Time now, const Error& error) {
    replace(error, [&](Wait& wait) {
        if (wait.ack_lsn <= acked_lsn || wait.ack_deadline > now) {
            return false;
        }
        wait.ack_lsn = 0;
        return true;
    });
}

/// Puts an error in the place of each reply of the ranges that `end_wait` says have waited enough, which
/// changes what they wait for. Copies the text once, and not at all when there are none.
template <typename EndWait>
void ReplyQueue::replace(const Error& error, EndWait&& end_wait) {
    std::string replaced;
    bool is_replaced = false;
    std::uint64_t position = sent_;  // up to here `replaced` has what the text has
    std::uint64_t begin = sendable_;
    const auto copy_to = [&](std::uint64_t end) {
        replaced.append(text_, begin_ + static_cast<std::size_t>(position - sent_),
                        static_cast<std::size_t>(end - position));
        position = end;
    };
    for (Range& range : ranges_) {
        const std::uint64_t end = range.end;
        if (end_wait(range.wait)) {
            is_replaced = true;
            copy_to(begin);
            for (std::uint32_t i = 0; i < range.replies; ++i) {
                range.write_error(error, replaced);
            }
            position = end;
        }
        begin = end;
        if (is_replaced) {
            copy_to(end);
            range.end = sent_ + replaced.size();
        }
    }
    if (!is_replaced) {
        return;
    }
    produced_ = sent_ + replaced.size();
    replaced.append(text_, begin_ + static_cast<std::size_t>(position - sent_), std::string::npos);
    text_ = std::move(replaced);
    begin_ = 0;
}

std::string_view ReplyQueue::sendable() const noexcept {
    return std::string_view(text_).substr(begin_, static_cast<std::size_t>(sendable_ - sent_));
}

void ReplyQueue::note_sent(std::size_t size) {
    sent_ += size;
    begin_ += size;
    if (begin_ == text_.size()) {
        begin_ = 0;
        text_.clear();
        if (text_.capacity() > bytes_kept) {
            text_ = std::string();
        }
    } else if (begin_ > sent_bytes_max) {
        text_.erase(0, begin_);
        begin_ = 0;
    }
}

}  // namespace karma::net
