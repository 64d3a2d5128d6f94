#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "net/byte_stream.h"
#include "perf/load/options.h"
#include "perf/load/reply_reader.h"
#include "perf/load/request_source.h"
#include "perf/load/send_buffer.h"
#include "perf/measure/clock.h"

namespace karma::perf {

// Why a run cannot go on: no connection, connection lost, no reply in time.
class RunError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// One connection and its requests in flight. Not thread-safe. Throws RunError from everything that touches
// the socket.
class Connection {
public:
    // Connects, over TLS where the options name authorities, and for Redis sends the password; non-blocking
    // from then on.
    explicit Connection(const LoadOptions& options);

    int descriptor() const { return stream_.file(); }
    std::uint32_t in_flight() const { return in_flight_; }
    bool has_unsent() const { return !out_.pending().empty(); }

    // When the oldest request without a reply was handed to the socket. Only with in_flight() > 0.
    std::uint64_t oldest_sent_ns() const { return sent_[first_].sent_ns; }

    // Sends up to `most` further requests, but no more than the limit in flight allows and the socket takes;
    // what the socket does not take at once is sent by later calls. Returns how many came from the source;
    // fewer than possible when it has no more.
    std::uint32_t send(RequestSource& source, std::uint64_t most);

    // Reads once and calls on_reply(const Request&, std::uint64_t latency_ns, bool good, std::string_view
    // start, std::uint64_t now) for each complete reply. False: there was nothing to read.
    template <typename OnReply>
    bool receive(std::vector<char>& scratch, OnReply&& on_reply);

private:
    struct Sent {
        std::uint64_t sent_ns = 0;
        Request request;
    };

    // No more is formatted ahead of the socket than this, so that large batches do not pile up.
    static constexpr std::size_t enough_unsent_bytes = 256 * 1024;

    void shake_hands(const LoadOptions& options);
    void authenticate(const LoadOptions& options);
    void push(const Request& request);
    Sent pop();
    void stamp(std::uint32_t newest, std::uint64_t at_ns);
    void flush();
    std::size_t write_some(std::string_view bytes);
    std::string_view read_some(std::vector<char>& scratch);

    net::ByteStream stream_;
    bool split_writes_;
    SendBuffer out_;
    ReplyReader reader_;
    std::vector<Sent> sent_;  // a ring
    std::uint32_t first_ = 0;
    std::uint32_t in_flight_ = 0;
};

template <typename OnReply>
bool Connection::receive(std::vector<char>& scratch, OnReply&& on_reply) {
    const std::string_view bytes = read_some(scratch);
    if (bytes.empty()) return false;
    const std::uint64_t now = now_ns();
    reader_.feed(bytes, [&](bool good, std::string_view start) {
        if (in_flight_ == 0) throw RunError("a reply that was not asked for: " + std::string(start));
        const Sent sent = pop();
        on_reply(sent.request, now - sent.sent_ns, good, start, now);
    });
    return true;
}

}  // namespace karma::perf
