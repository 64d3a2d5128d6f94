#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>

namespace karma::cli {

/// How far a long piece of work has come.
struct ProgressState {
    std::uint64_t rows = 0;                    // done
    std::uint64_t bytes = 0;                   // of the input, done
    std::optional<std::uint64_t> total_bytes;  // of the input, where known
    double seconds = 0;                        // since the start
    std::string_view what{};                   // is done, where it is not the work itself
};

/// One line of at most `width` columns: with known total_bytes a bar, the share, rows, rows a second and the
/// time left; otherwise rows, rows a second and the bytes read.
std::string progress_line(const ProgressState& state, std::size_t width);

/// Keeps one line of a terminal up to date. Does nothing when not enabled. Used by one thread.
class Progress {
public:
    /// `terminal` must outlive it; `width` in columns.
    Progress(std::ostream& terminal, bool enabled, std::size_t width)
        : terminal_(terminal), enabled_(enabled), width_(width) {}
    /// Removes the line.
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    /// True when it is time for the next update(): ten times a second, never when not enabled.
    bool due();
    void update(const ProgressState& state);

    /// Removes the line, so that something else can be written in its place.
    void clear();

private:
    std::ostream& terminal_;
    bool enabled_;
    std::size_t width_;
    bool shown_ = false;
    std::chrono::steady_clock::time_point next_ = std::chrono::steady_clock::now();
};

}  // namespace karma::cli
