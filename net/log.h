#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include <boost/json/object.hpp>

namespace karma::net {

class LogWriter;

/// The daemon's log: one JSON object a line, warnings and errors on standard error, the rest on standard
/// output. Never waits for a reader: see LogWriter. Tokens never get here. Thread-safe.
class Log {
public:
    /// Disabled, only errors are written.
    explicit Log(bool enabled);
    /// Gives every line, with its end, to `sink` instead, one at a time.
    explicit Log(std::function<void(const std::string& line)> sink);
    Log(const Log&) = delete;
    Log& operator=(const Log&) = delete;
    /// Waits briefly until all lines are written.
    ~Log();

    void info(std::string_view event, boost::json::object fields = {});
    void warning(std::string_view event, boost::json::object fields = {});
    void error(std::string_view event, boost::json::object fields = {});

private:
    void write(std::string_view level, std::string_view event, boost::json::object&& fields, bool to_stderr);

    bool enabled_;
    std::function<void(const std::string& line)> sink_;
    std::mutex mutex_;                   // lines are in the order of their times
    std::unique_ptr<LogWriter> writer_;  // null where there is a sink
};

}  // namespace karma::net
