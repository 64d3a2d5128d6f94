#pragma once

#include <memory>
#include <poll.h>
#include <span>
#include <string>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/post.hpp>

#include "net/byte_stream.h"

namespace karma::net {

/// A byte stream on an event loop, which calls handlers when the stream can be read or written. Belongs to
/// the thread of that loop. Each handler is called exactly once, and has to keep alive what it needs.
class StreamSocket {
public:
    using Native = boost::asio::generic::stream_protocol::socket;

    /// Takes over a connected socket, which it makes non-blocking.
    StreamSocket(Native socket, std::unique_ptr<TlsSession> tls);
    StreamSocket(const StreamSocket&) = delete;
    StreamSocket& operator=(const StreamSocket&) = delete;
    ~StreamSocket() { close(); }

    ByteStream& stream() noexcept { return stream_; }
    const ByteStream& stream() const noexcept { return stream_; }

    /// The other end: host and port, "unix" over a Unix socket, "unknown" when the connection is gone.
    std::string peer() const;
    /// The host alone; empty when it is not known, and over a Unix socket.
    std::string peer_host() const;
    /// For an accepted connection: sets TCP_NODELAY (if `nodelay`), so that small replies leave at once, and
    /// keep-alive, so that a dead peer is noticed. False when the connection is already gone.
    bool set_options(bool nodelay);

    /// Calls `handler(IoResult)` when something was read, the other end has closed, or the read has failed;
    /// with `would_block` and no bytes when it was cancelled. One read at a time.
    template <typename Handler>
    void async_read(std::span<char> room, Handler&& handler) {
        if (stream_.is_encrypted()) {
            read_encrypted(room, std::forward<Handler>(handler));
            return;
        }
        // Asio tries to read before it waits, and waits without a system call.
        socket_.async_read_some(boost::asio::buffer(room.data(), room.size()),
                                [handler = std::forward<Handler>(handler)](
                                    const boost::system::error_code& failure, std::size_t size) mutable {
                                    handler(IoResult{size, state_of(failure)});
                                });
    }

    /// Calls `handler(IoState)` when a write that would have blocked can go on, or the wait has failed. One
    /// wait at a time.
    template <typename Handler>
    void async_wait_writable(Handler&& handler) {
        wait(stream_.events_to_write(), std::forward<Handler>(handler));
    }

    /// Ends the read and the wait that are under way.
    void cancel() noexcept;
    void close() noexcept;
    /// Hands the stream over; this socket is closed afterwards.
    ByteStream release() noexcept;

private:
    static IoState state_of(const boost::system::error_code& failure) noexcept {
        if (failure.value() == 0) {
            return IoState::done;
        }
        if (failure == boost::asio::error::operation_aborted) {
            return IoState::would_block;
        }
        return failure == boost::asio::error::eof ? IoState::ended : IoState::failed;
    }

    template <typename Handler>
    void wait(short event, Handler&& handler) {
        socket_.async_wait(
            event == POLLIN ? Native::wait_read : Native::wait_write,
            [handler = std::forward<Handler>(handler)](const boost::system::error_code& failure) mutable {
                handler(state_of(failure));
            });
    }

    /// Reads before it waits: for bytes that are already decrypted the socket would never become readable.
    template <typename Handler>
    void read_encrypted(std::span<char> room, Handler&& handler) {
        const IoResult result = stream_.read(room);
        if (result.state != IoState::would_block) {
            boost::asio::post(socket_.get_executor(), [handler = std::forward<Handler>(handler),
                                                       result]() mutable { handler(result); });
            return;
        }
        wait(stream_.events_to_read(),
             [this, room, handler = std::forward<Handler>(handler)](IoState state) mutable {
                 if (state == IoState::done && stream_.is_open()) {
                     read_encrypted(room, std::move(handler));
                 } else {
                     handler(IoResult{0, state});
                 }
             });
    }

    Native socket_;  // the same descriptor, which it does not own
    ByteStream stream_;
};

/// Whether the other end of a socket is on this machine.
bool is_local(const StreamSocket::Native& socket);

}  // namespace karma::net
