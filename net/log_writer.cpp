#include "net/log_writer.h"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <poll.h>
#include <string_view>
#include <unistd.h>
#include <utility>

namespace karma::net {
namespace {

/// Where nobody will ever read the rest it is given up.
void write_all(int file, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(file, bytes.data(), bytes.size());
        if (written > 0) {
            bytes.remove_prefix(static_cast<std::size_t>(written));
        } else if (errno == EAGAIN) {  // somebody else has made it non-blocking
            pollfd waiting{file, POLLOUT, 0};
            ::poll(&waiting, 1, -1);
        } else if (errno != EINTR) {
            return;
        }
    }
}

}  // namespace

struct LogWriter::Queue {
    struct Line {
        int file = -1;
        std::string text;
    };

    explicit Queue(Options given) : options(std::move(given)) {}

    void add(int file, std::string text);
    bool take(Line& line);
    void run();

    const Options options;
    std::mutex mutex;  // of all that follows
    std::condition_variable changed;
    std::deque<Line> lines;
    std::size_t bytes = 0;
    std::uint64_t dropped = 0;  // since there was no room; none is taken until that is said
    std::atomic<std::uint64_t> dropped_in_all{0};
    bool stopping = false;
    bool ended = false;
};

void LogWriter::Queue::add(int file, std::string text) {
    const std::lock_guard lock(mutex);
    if (dropped != 0 || bytes + text.size() > options.queue_bytes_max) {
        ++dropped;
        dropped_in_all.fetch_add(1, std::memory_order_relaxed);
        return;
    }
    bytes += text.size();
    lines.push_back({file, std::move(text)});
    changed.notify_all();
}

/// Waits for a line. False at the end.
bool LogWriter::Queue::take(Line& line) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return stopping || !lines.empty() || dropped != 0; });
    if (!lines.empty()) {
        line = std::move(lines.front());
        lines.pop_front();
        bytes -= line.text.size();
        return true;
    }
    if (dropped != 0) {
        line = {options.dropped_file, options.dropped_line(std::exchange(dropped, 0))};
        return true;
    }
    ended = true;
    changed.notify_all();
    return false;
}

void LogWriter::Queue::run() {
    for (Line line; take(line);) {
        write_all(line.file, line.text);
    }
}

LogWriter::LogWriter(Options options) : queue_(std::make_shared<Queue>(std::move(options))) {}

LogWriter::~LogWriter() {
    constexpr auto patience = std::chrono::seconds(2);
    if (!thread_.joinable()) {
        return;
    }
    bool ended = false;
    {
        std::unique_lock lock(queue_->mutex);
        queue_->stopping = true;
        queue_->changed.notify_all();
        ended = queue_->changed.wait_for(lock, patience, [this] { return queue_->ended; });
    }
    if (ended) {
        thread_.join();
    } else {
        thread_.detach();  // it ends with the process
    }
}

void LogWriter::write(int file, std::string line) {
    {
        const std::lock_guard lock(start_mutex_);
        if (!thread_.joinable()) {
            thread_ = std::thread([queue = queue_] { queue->run(); });
        }
    }
    queue_->add(file, std::move(line));
}

std::uint64_t LogWriter::dropped() const noexcept {
    return queue_->dropped_in_all.load(std::memory_order_relaxed);
}

}  // namespace karma::net
