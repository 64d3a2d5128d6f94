#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "net/io_result.h"
#include "net/tls_session.h"

namespace karma::net {

/// An open connection over TCP or a Unix socket, in the clear or over TLS. No function blocks. Owns its
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

    /// Reads what has arrived, up to the size of `room`.
    IoResult read(std::span<char> room) noexcept;
    /// Writes as much as the system takes. After `would_block` the caller writes the rest again, with or
    /// without further bytes behind it.
    IoResult write(std::string_view bytes) noexcept;
    /// Goes on with the handshake; `done` when it is complete, or there is none.
    IoResult handshake() noexcept;

    /// The event (POLLIN or POLLOUT) for which `poll` has to wait after a read, or a write, would have
    /// blocked.
    short events_to_read() const noexcept;
    short events_to_write() const noexcept;
    /// Decrypted bytes can be read, of which `poll` does not know.
    bool has_buffered() const noexcept { return tls_ != nullptr && tls_->buffered_bytes() != 0; }

    /// About how many bytes have arrived and were not read.
    std::size_t unread_bytes() const noexcept;
    /// Bytes that were written and that the other end's machine has not acknowledged.
    std::size_t untaken_bytes() const noexcept;
    /// The other end has closed its side, and everything before that was read.
    bool has_ended() noexcept;

    /// Tells the other end that nothing more will be sent.
    void end_writing() noexcept;
    /// Ends both directions as far as that is possible without blocking.
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
