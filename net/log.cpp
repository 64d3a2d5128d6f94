#include "net/log.h"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <unistd.h>
#include <utility>

#include <boost/json/serialize.hpp>

#include "net/log_writer.h"

namespace karma::net {
namespace {

/// The time of day in UTC, RFC 3339 with milliseconds.
std::string timestamp() {
    const auto now = std::chrono::system_clock::now();
    const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
    const auto ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
    std::tm utc{};
    ::gmtime_r(&seconds, &utc);
    char text[40];
    const std::size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    std::snprintf(text + length, sizeof text - length, ".%03dZ", static_cast<int>(ms));
    return text;
}

std::string log_line(std::string_view level, std::string_view event, boost::json::object&& fields) {
    boost::json::object line;
    line["time"] = timestamp();
    line["level"] = level;
    line["event"] = event;
    for (auto& field : fields) {
        line.insert_or_assign(field.key(), std::move(field.value()));
    }
    return boost::json::serialize(line) + "\n";
}

std::string dropped_line(std::uint64_t dropped) {
    return log_line(
        "warning", "log_lines_dropped",
        {{"count", dropped},
         {"message", "who reads this log had stopped reading: lines before this one are missing"}});
}

}  // namespace

Log::Log(bool enabled)
    : enabled_(enabled),
      writer_(std::make_unique<LogWriter>(LogWriter::Options{.dropped_line = dropped_line})) {}

Log::Log(std::function<void(const std::string& line)> sink) : enabled_(true), sink_(std::move(sink)) {}

Log::~Log() = default;

void Log::info(std::string_view event, boost::json::object fields) {
    if (enabled_) {
        write("info", event, std::move(fields), false);
    }
}

void Log::warning(std::string_view event, boost::json::object fields) {
    write("warning", event, std::move(fields), true);
}

void Log::error(std::string_view event, boost::json::object fields) {
    write("error", event, std::move(fields), true);
}

void Log::write(std::string_view level, std::string_view event, boost::json::object&& fields,
                bool to_stderr) {
    const std::lock_guard lock(mutex_);
    std::string text = log_line(level, event, std::move(fields));
    if (sink_) {
        sink_(text);
    } else {
        writer_->write(to_stderr ? STDERR_FILENO : STDOUT_FILENO, std::move(text));
    }
}

}  // namespace karma::net
