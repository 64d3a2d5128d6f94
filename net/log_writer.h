#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace karma::net {

/// Writes lines to files from a thread of its own, so that a reader who stands still (a stuck log collector)
/// holds up nobody. What does not fit into the queue meanwhile is dropped and counted. Thread-safe.
class LogWriter {
public:
    struct Options {
        std::size_t queue_bytes_max = 1U << 20U;
        /// Makes the line that says how many were dropped, in their place.
        std::function<std::string(std::uint64_t dropped)> dropped_line;
        int dropped_file = 2;  // where that is written to
    };

    explicit LogWriter(Options options);
    LogWriter(const LogWriter&) = delete;
    LogWriter& operator=(const LogWriter&) = delete;

    /// Waits until all is written, but for a reader who takes nothing only briefly.
    ~LogWriter();

    /// Writes a line to a file descriptor, which stays open as long as the process. Never blocks. All lines
    /// are written in the order in which they are given.
    void write(int file, std::string line);

    /// Lines that were dropped since the start.
    std::uint64_t dropped() const noexcept;

private:
    struct Queue;

    std::shared_ptr<Queue> queue_;  // also the thread's, which may be left behind
    std::mutex start_mutex_;
    std::thread thread_;
};

}  // namespace karma::net
