#include "net/log.h"

#include <chrono>
#include <cstdio>
#include <ctime>

#include <boost/json/serialize.hpp>

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

}  // namespace

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
    boost::json::object line;
    line["time"] = timestamp();
    line["level"] = level;
    line["event"] = event;
    for (auto& field : fields) {
        line.insert_or_assign(field.key(), std::move(field.value()));
    }
    const std::string text = boost::json::serialize(line) + "\n";
    const std::lock_guard lock(mutex_);
    if (sink_) {
        sink_(text);
        return;
    }
    std::FILE* const stream = to_stderr ? stderr : stdout;
    std::fwrite(text.data(), 1, text.size(), stream);
    std::fflush(stream);
}

}  // namespace karma::net
