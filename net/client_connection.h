#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <poll.h>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "net/byte_stream.h"
#include "net/endpoint_url.h"

namespace karma::net {

/// A connection could not be made, or was lost. The text names the daemon's address.
class ConnectionError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// A line client: a blocking connection that sends and receives lines, over TCP, TLS or a Unix socket. It
/// collects lines until flush() or read_line(), so that many small requests leave in one write. While it
/// writes it also receives, because a daemon stops reading from a client that does not read, and both would
/// block. Used by one thread.
class ClientConnection {
public:
    /// Looks the host up and connects within `timeout`, even if the resolver does not answer. Later,
    /// `timeout` without a byte sent or received counts as a lost connection. Soon after `stop`, which
    /// outlives this object, becomes true, the connection counts as lost. Throws ConnectionError.
    ClientConnection(const std::string& host, std::uint16_t port, std::chrono::milliseconds timeout,
                     const std::atomic<bool>* stop = nullptr);
    /// The same to any endpoint; `tls` is the session for an endpoint over TLS, else null.
    ClientConnection(const EndpointUrl& endpoint, std::unique_ptr<TlsSession> tls,
                     std::chrono::milliseconds timeout, const std::atomic<bool>* stop = nullptr);

    /// A longer line counts as a lost connection, so that a line without an end does not fill the memory.
    static constexpr std::size_t line_bytes_max_default = std::size_t{1} << 30U;
    void limit_lines(std::size_t bytes_max) { line_bytes_max_ = bytes_max; }

    /// Puts a line into the output buffer. `line` contains no newline.
    void queue_line(std::string_view line);

    /// Bytes that flush() would send.
    std::size_t queued_bytes() const { return output_.size(); }

    /// Sends the queued lines. Does not throw: replies may have arrived before the connection broke, so
    /// read_line() returns those first and reports the failure after them.
    void flush();

    /// True once the connection has broken: nothing is sent any more.
    bool failed() const { return failure_.has_value(); }

    /// The next line without its end (LF or CR LF), after a flush(). The view is good until the next call of
    /// any function that is not const. Throws ConnectionError.
    std::string_view read_line();

    /// From here on so long without a byte sent or received counts as a lost connection.
    void set_timeout(std::chrono::milliseconds timeout) noexcept { timeout_ = timeout; }

    /// The next line, if it has been received as a whole already. As read_line() otherwise.
    std::optional<std::string_view> buffered_line();

    /// Hands the stream over, with the bytes that were received and not read; this connection cannot be used
    /// afterwards. All queued lines must have been sent.
    ByteStream release(std::string& received);

private:
    void connect(const EndpointUrl& endpoint, std::unique_ptr<TlsSession> tls);
    int connect_tcp(const EndpointUrl& endpoint);
    int connect_unix(const std::string& path);
    void shake_hands();
    [[noreturn]] void refuse(const std::string& why) const;
    void send_some();
    void receive_some();
    /// Waits until the stream is ready for one of `events` (POLLIN, POLLOUT) and returns those it is ready
    /// for; 0 when the timeout has passed.
    short wait(short events);
    short wait_to_read() { return stream_.has_buffered() ? short{POLLIN} : wait(stream_.events_to_read()); }
    /// Keeps the first reason only.
    void fail(const std::string& why);
    bool is_stopped() const { return stop_ != nullptr && stop_->load(); }

    ByteStream stream_;
    std::string address_;
    std::chrono::milliseconds timeout_;
    const std::atomic<bool>* stop_;
    std::optional<std::string> failure_;

    std::string output_;
    std::size_t output_sent_ = 0;
    std::string input_;
    std::size_t input_start_ = 0;    // of what is not handed out yet
    std::size_t input_scanned_ = 0;  // no newline from input_start_ up to here
    std::size_t line_bytes_max_ = line_bytes_max_default;
    std::vector<char> chunk_;
};

}  // namespace karma::net
