#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

#include "perf/load/operation.h"

namespace karma::perf {

// Cuts what one connection receives into replies, and tells good ones from errors by their first bytes.
// Allocates nothing while replies are good.
class ReplyReader {
public:
    explicit ReplyReader(Protocol protocol) : protocol_(protocol) { start_.reserve(kept_bytes); }

    // Takes the next received bytes. For each reply that they complete, on_reply(bool good, std::string_view
    // start) is called; `start` is at most the first kept_bytes of the reply (without its line end when it is
    // shorter) and lives until on_reply returns.
    template <typename OnReply>
    void feed(std::string_view bytes, OnReply&& on_reply) {
        while (!bytes.empty()) {
            if (skip_ > 0) {
                skip(bytes, on_reply);
                continue;
            }
            const void* found = std::memchr(bytes.data(), '\n', bytes.size());
            if (found == nullptr) {
                keep(bytes);
                return;
            }
            const auto size = static_cast<std::size_t>(static_cast<const char*>(found) - bytes.data());
            std::string_view line = bytes.substr(0, size);
            bytes.remove_prefix(size + 1);
            if (!start_.empty()) {
                keep(line);
                line = start_;
            }
            finish_line(line, on_reply);
        }
    }

    static constexpr std::size_t kept_bytes = 512;

private:
    static constexpr std::string_view karma_success = R"({"protocol_version":2,"success":true)";

    void keep(std::string_view bytes) {
        start_.append(bytes.substr(0, std::min(bytes.size(), kept_bytes - start_.size())));
    }

    template <typename OnReply>
    void finish_line(std::string_view line, OnReply&& on_reply) {
        bool good = true;
        switch (protocol_) {
            case Protocol::line: break;
            case Protocol::karma: good = line.starts_with(karma_success); break;
            case Protocol::redis:
                if (line.starts_with('$') && bulk_follows(line)) {
                    start_.clear();
                    return;
                }
                good = is_good_redis_line(line);
                break;
        }
        if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
        on_reply(good, line.substr(0, kept_bytes));
        start_.clear();
    }

    // Sets skip_ to what follows "$<size>"; false for "$-1", the null, and for what is no size.
    bool bulk_follows(std::string_view line);
    static bool is_good_redis_line(std::string_view line);

    template <typename OnReply>
    void skip(std::string_view& bytes, OnReply&& on_reply) {
        const std::size_t size = std::min(skip_, bytes.size());
        bytes.remove_prefix(size);
        skip_ -= size;
        if (skip_ == 0) on_reply(true, std::string_view("$"));
    }

    Protocol protocol_;
    std::string start_;     // of the line that has not ended yet
    std::size_t skip_ = 0;  // Redis: bytes left of a bulk string, its line end included
};

}  // namespace karma::perf
