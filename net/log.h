#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include <boost/json/object.hpp>

namespace karma::net {

class LogWriter;

enum class LogLevel : std::uint8_t { debug, info, warning, error };

/// "debug", "info", "warning" or "error"; nothing for any other text.
std::optional<LogLevel> log_level_from_name(std::string_view name) noexcept;

/// The daemon's log: one JSON object a line, warnings and errors on standard error, the rest on standard
/// output. Never waits for a reader: see LogWriter. Tokens never get here. Thread-safe.
class Log {
public:
    /// Lines below `level` are not written.
    explicit Log(LogLevel level);
    /// Passes every line, with its end, to `sink` instead, one at a time.
    explicit Log(std::function<void(const std::string& line)> sink);
    Log(const Log&) = delete;
    Log& operator=(const Log&) = delete;
    /// Waits briefly until all lines are written.
    ~Log();

    void debug(std::string_view event, boost::json::object fields = {});
    void info(std::string_view event, boost::json::object fields = {});
    void warning(std::string_view event, boost::json::object fields = {});
    void error(std::string_view event, boost::json::object fields = {});

    bool writes(LogLevel level) const noexcept { return level >= this->level(); }
    LogLevel level() const noexcept { return level_.load(std::memory_order_relaxed); }
    /// From now on, lines below `level` are not written.
    void set_level(LogLevel level) noexcept { level_.store(level, std::memory_order_relaxed); }
    /// The number of lines that were dropped because nobody read them.
    std::uint64_t lines_dropped() const noexcept;

private:
    void write(LogLevel level, std::string_view event, boost::json::object&& fields);

    std::atomic<LogLevel> level_{LogLevel::debug};
    std::function<void(const std::string& line)> sink_;
    std::mutex mutex_;                   // lines are in the order of their times
    std::unique_ptr<LogWriter> writer_;  // null where there is a sink
};

}  // namespace karma::net
