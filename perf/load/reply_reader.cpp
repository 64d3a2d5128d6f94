#include "perf/load/reply_reader.h"

#include <charconv>
#include <cstdint>
#include <system_error>

namespace karma::perf {

bool ReplyReader::bulk_follows(std::string_view line) {
    line.remove_prefix(1);
    std::uint32_t size = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), size);
    if (error != std::errc() || std::string_view(end, line.size() - (end - line.data())) != "\r")
        return false;
    skip_ = std::size_t{size} + 2;
    return true;
}

bool ReplyReader::is_good_redis_line(std::string_view line) {
    return line.starts_with(':') || line.starts_with('+') || line == "$-1\r";
}

}  // namespace karma::perf
