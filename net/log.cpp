#include "net/log.h"

#include <algorithm>
#include <array>
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

constexpr std::array<std::string_view, 4> level_names = {"debug", "info", "warning", "error"};

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

std::string_view name_of(LogLevel level) noexcept { return level_names.at(static_cast<std::size_t>(level)); }

}  // namespace

std::optional<LogLevel> log_level_from_name(std::string_view name) noexcept {
    const auto* const found = std::ranges::find(level_names, name);
    return found == level_names.end() ? std::nullopt
                                      : std::optional(static_cast<LogLevel>(found - level_names.begin()));
}

Log::Log(LogLevel level)
    : level_(level), writer_(std::make_unique<LogWriter>(LogWriter::Options{.dropped_line = dropped_line})) {}

Log::Log(std::function<void(const std::string& line)> sink) : sink_(std::move(sink)) {}

Log::~Log() = default;

void Log::debug(std::string_view event, boost::json::object fields) {
    write(LogLevel::debug, event, std::move(fields));
}

void Log::info(std::string_view event, boost::json::object fields) {
    write(LogLevel::info, event, std::move(fields));
}

void Log::warning(std::string_view event, boost::json::object fields) {
    write(LogLevel::warning, event, std::move(fields));
}

void Log::error(std::string_view event, boost::json::object fields) {
    write(LogLevel::error, event, std::move(fields));
}

std::uint64_t Log::lines_dropped() const noexcept { return writer_ ? writer_->dropped() : 0; }

void Log::write(LogLevel level, std::string_view event, boost::json::object&& fields) {
    if (!writes(level)) {
        return;
    }
    const std::lock_guard lock(mutex_);
    std::string text = log_line(name_of(level), event, std::move(fields));
    if (sink_) {
        sink_(text);
    } else {
        writer_->write(level >= LogLevel::warning ? STDERR_FILENO : STDOUT_FILENO, std::move(text));
    }
}

}  // namespace karma::net
