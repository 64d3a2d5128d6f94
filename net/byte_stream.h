#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "net/io_result.h"
#include "net/tls_session.h"

namespace karma::net {

/// An open connection over TCP or a Unix socket, in the clear or over TLS. Nothing of it waits. Owns its
/// socket. Used by one thread at a time.
class ByteStream {
public:
    ByteStream() = default;
    /// Takes over a connected, non-blocking socket.
    explicit ByteStream(int file, std::unique_ptr<TlsSession> tls = nullptr) noexcept;
    ByteStream(ByteStream&& other) noexcept;
    ByteStream& operator=(ByteStream&& other) noexcept;
    /// Closes it.
    ~ByteStream();

    bool is_open() const noexcept { return file_ >= 0; }
    int file() const noexcept { return file_; }
    bool is_encrypted() const noexcept { return tls_ != nullptr; }
    /// The two ends have not agreed on keys yet: reading and writing does that first.
    bool is_handshaking() const noexcept { return tls_ != nullptr && tls_->is_handshaking(); }

    /// Reads what has arrived, as much as there is room for.
    IoResult read(std::span<char> room) noexcept;
    /// Writes what the system takes. Bytes that would have blocked are to be written again, with others
    /// behind them or without.
    IoResult write(std::string_view bytes) noexcept;
    /// Goes on with the handshake, if there is one. Done once there is nothing left of it.
    IoResult handshake() noexcept;

    /// What `poll` has to wait for before a read, or a write, that would have blocked: POLLIN or POLLOUT.
    short events_to_read() const noexcept;
    short events_to_write() const noexcept;
    /// Something can be read that `poll` does not know of.
    bool has_buffered() const noexcept { return tls_ != nullptr && tls_->buffered_bytes() != 0; }

    /// Bytes that have arrived and were not read, about.
    std::size_t unread_bytes() const noexcept;
    /// Bytes that the other end's machine has not acknowledged.
    std::size_t untaken_bytes() const noexcept;
    /// The other end has ended, and there is nothing to be read before that.
    bool has_ended() noexcept;

    /// Lets the other end know that nothing more is sent.
    void end_writing() noexcept;
    /// Ends both directions, as far as that is possible at once.
    void end() noexcept;
    void close() noexcept;

    /// Why the last operation failed.
    std::string failure() const;

private:
    IoResult failed(int error) noexcept;

    int file_ = -1;
    int error_ = 0;
    std::unique_ptr<TlsSession> tls_;
};

}  // namespace karma::net
