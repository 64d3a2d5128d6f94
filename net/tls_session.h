#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "net/io_result.h"

struct ssl_st;

namespace karma::net {

/// The TLS of one connection, on a non-blocking socket that it does not own. Used by one thread at a time.
class TlsSession {
public:
    /// Takes over `ssl`, which is set up to accept or to connect.
    explicit TlsSession(ssl_st* ssl) noexcept;
    TlsSession(const TlsSession&) = delete;
    TlsSession& operator=(const TlsSession&) = delete;
    ~TlsSession();

    /// Sets the socket; before any other call.
    void set_file(int file) noexcept { file_ = file; }

    bool is_handshaking() const noexcept;
    IoResult handshake() noexcept;
    /// Both first complete the handshake. A connection that ends without the other end's notice of closing is
    /// a failure.
    IoResult read(std::span<char> room) noexcept;
    IoResult write(std::string_view bytes) noexcept;

    bool read_waits_to_write() const noexcept { return read_waits_to_write_; }
    bool write_waits_to_read() const noexcept { return write_waits_to_read_; }

    /// Bytes that can be read without the socket.
    std::size_t buffered_bytes() const noexcept;
    /// The other end has sent its notice of closing, and everything before it was read.
    bool has_ended() noexcept;
    /// Sends the notice of closing, if that is possible at once.
    void end_writing() noexcept;

    /// Why the last operation failed; empty if none has.
    const std::string& failure() const noexcept { return failure_; }

private:
    struct Deleter {
        void operator()(ssl_st* ssl) const noexcept;
    };
    friend struct SocketBio;

    IoResult result_of(int returned, std::size_t size, bool& waits_to_write, bool& waits_to_read) noexcept;
    void note_failure(int error) noexcept;

    int file_ = -1;
    int file_error_ = 0;  // of the last operation on the socket
    bool read_waits_to_write_ = false;
    bool write_waits_to_read_ = false;
    bool has_failed_ = false;
    std::string failure_;
    std::unique_ptr<ssl_st, Deleter> ssl_;
};

}  // namespace karma::net
