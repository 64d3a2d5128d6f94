#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include <boost/json/object.hpp>

namespace karma::net {

/// The daemon's log: one JSON object a line, errors on standard error, the rest on standard output. Tokens
/// never get here. Thread-safe.
class Log {
public:
    /// Disabled, only errors are written.
    explicit Log(bool enabled) : enabled_(enabled) {}
    /// Gives every line, with its end, to `sink` instead, one at a time.
    explicit Log(std::function<void(const std::string& line)> sink)
        : enabled_(true), sink_(std::move(sink)) {}

    void info(std::string_view event, boost::json::object fields = {});
    void warning(std::string_view event, boost::json::object fields = {});
    void error(std::string_view event, boost::json::object fields = {});

private:
    void write(std::string_view level, std::string_view event, boost::json::object&& fields, bool to_stderr);

    bool enabled_;
    std::function<void(const std::string& line)> sink_;
    std::mutex mutex_;
};

}  // namespace karma::net
