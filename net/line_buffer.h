#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "net/budget.h"

namespace karma::net {

/// The input of a connection, cut into lines. A line is taken without its newline and without a carriage
/// return before that. Belongs to one thread.
class LineBuffer {
public:
    /// Lines have at most so many bytes. What passes that is given out as a line, which is then longer.
    /// What it takes beyond the first 4 KiB is of `memory`, which outlives this; null: there is no limit.
    explicit LineBuffer(std::size_t line_bytes_max, Budget* memory = nullptr)
        : line_bytes_max_(line_bytes_max), memory_(memory) {}

    /// Where to put further input: as long as all lines that are there have been taken, it is empty only
    /// where the memory is used up; a client that `is_known` may use all of it, others a quarter. Moves what
    /// is there: lines that were taken are no longer valid. Not while a read writes to the room before.
    std::span<char> room(bool is_known = true);
    /// So many bytes were put there.
    void add(std::size_t size) noexcept;

    /// The next line, valid until `room`; false when there is no complete one. A line of more bytes than
    /// allowed is given out as soon as that is certain.
    bool take(std::string_view& line) noexcept;
    /// Puts back the line that was taken last.
    void put_back(std::string_view line) noexcept;

    /// No more input comes. What was not ended by a newline is a line where `last_line_counts`, else nothing.
    void end(bool last_line_counts) noexcept;
    bool has_ended() const noexcept { return ended_; }
    /// Forgets all that is there.
    void clear() noexcept;

    /// Bytes are there that were not taken.
    bool empty() const noexcept { return begin_ == end_; }
    /// How many lines were taken, those put back not counted.
    std::size_t taken() const noexcept { return taken_; }

private:
    void compact();
    void grow(std::size_t size, bool is_known);

    std::size_t line_bytes_max_;
    Share memory_;
    std::vector<char> bytes_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::size_t scanned_ = 0;  // up to here there is no newline
    std::size_t taken_ = 0;
    bool filled_ = false;  // the last read took all the room there was
    bool ended_ = false;
};

}  // namespace karma::net
