#include "net/line_buffer.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace karma::net {
namespace {

constexpr std::size_t bytes_first = 4096;
constexpr std::size_t bytes_large = 64 * 1024;

}  // namespace

std::span<char> LineBuffer::room(bool is_known) {
    compact();
    // A client whose input filled the room sends much at a time.
    const bool wants_more = std::exchange(filled_, false) && bytes_.size() < bytes_large;
    if (end_ == bytes_.size() || wants_more) {
        // Enough for the longest line with its end and one byte that shows a longer one.
        const std::size_t largest = std::max(bytes_large, line_bytes_max_ + 3);
        grow(bytes_.empty() ? bytes_first : std::min(bytes_.size() * 2, largest), is_known);
    }
    return {bytes_.data() + end_, bytes_.size() - end_};
}

void LineBuffer::grow(std::size_t size, bool is_known) {
    const std::size_t all = memory_.budget() == nullptr ? 0 : memory_.budget()->max();
    const std::size_t left = is_known || size <= bytes_large ? 0 : all - all / 4;
    if (size <= bytes_first || memory_.resize(size, left)) {
        bytes_.resize(size);
    }
}

/// Keeps in mind what was searched: a long line that comes in many pieces is searched once.
void LineBuffer::compact() {
    if (begin_ == end_) {
        begin_ = end_ = scanned_ = 0;
        if (bytes_.size() > bytes_large) {
            bytes_ = std::vector<char>();
            memory_.resize(0);
        }
    } else if (begin_ > 0) {
        std::memmove(bytes_.data(), bytes_.data() + begin_, end_ - begin_);
        end_ -= begin_;
        scanned_ = std::max(scanned_, begin_) - begin_;
        begin_ = 0;
    }
}

void LineBuffer::add(std::size_t size) noexcept {
    filled_ = end_ + size == bytes_.size();
    end_ += size;
}

bool LineBuffer::take(std::string_view& line) noexcept {
    const char* const begin = bytes_.data() + begin_;
    const std::size_t from = std::max(scanned_, begin_);
    const auto* const newline =
        from == end_ ? nullptr
                     : static_cast<const char*>(std::memchr(bytes_.data() + from, '\n', end_ - from));
    if (newline != nullptr) {
        line = {begin, static_cast<std::size_t>(newline - begin)};
        begin_ += line.size() + 1;
        scanned_ = begin_;
    } else {
        scanned_ = end_;
        const std::size_t size = end_ - begin_;
        const bool may_be_allowed =
            size <= line_bytes_max_ || (size == line_bytes_max_ + 1 && begin[size - 1] == '\r');
        if (may_be_allowed && !(ended_ && size != 0)) {
            return false;
        }
        line = {begin, size};  // too long, or the last one, which its sender did not end
        begin_ = end_;
    }
    if (!line.empty() && line.back() == '\r') {
        line.remove_suffix(1);
    }
    ++taken_;
    return true;
}

void LineBuffer::put_back(std::string_view line) noexcept {
    begin_ = static_cast<std::size_t>(line.data() - bytes_.data());
    scanned_ = begin_;
    --taken_;
}

void LineBuffer::end(bool last_line_counts) noexcept {
    ended_ = true;
    while (!last_line_counts && end_ != begin_ && bytes_[end_ - 1] != '\n') {
        --end_;
    }
    scanned_ = std::min(scanned_, end_);
}

void LineBuffer::clear() noexcept { begin_ = scanned_ = end_; }

}  // namespace karma::net
