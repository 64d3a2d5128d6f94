#include "net/stream_socket.h"

#include <cstring>
#include <netinet/in.h>
#include <sys/socket.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/socket_base.hpp>

#include "net/address_text.h"

namespace karma::net {
namespace {

/// The other end of a socket; nothing where it is gone.
bool peer_of(const StreamSocket::Native& socket, StreamSocket::Native::endpoint_type& peer) {
    boost::system::error_code failure;
    peer = socket.remote_endpoint(failure);
    return !failure;
}

bool is_tcp(int family) { return family == AF_INET || family == AF_INET6; }

boost::asio::ip::tcp::endpoint tcp_endpoint(const StreamSocket::Native::endpoint_type& peer) {
    boost::asio::ip::tcp::endpoint endpoint;
    endpoint.resize(peer.size());
    std::memcpy(endpoint.data(), peer.data(), peer.size());
    return endpoint;
}

}  // namespace

StreamSocket::StreamSocket(Native socket, std::unique_ptr<TlsSession> tls)
    : socket_(std::move(socket)), stream_(socket_.native_handle(), std::move(tls)) {
    boost::system::error_code ignored;
    socket_.non_blocking(true, ignored);
}

std::string StreamSocket::peer() const {
    Native::endpoint_type peer;
    if (!peer_of(socket_, peer)) {
        return "unknown";
    }
    if (!is_tcp(peer.protocol().family())) {
        return "unix";
    }
    const auto endpoint = tcp_endpoint(peer);
    return address_text(endpoint.address().to_string(), endpoint.port());
}

std::string StreamSocket::peer_host() const {
    Native::endpoint_type peer;
    return peer_of(socket_, peer) && is_tcp(peer.protocol().family())
               ? tcp_endpoint(peer).address().to_string()
               : std::string();
}

bool is_local(const StreamSocket::Native& socket) {
    StreamSocket::Native::endpoint_type peer;
    return peer_of(socket, peer) &&
           (!is_tcp(peer.protocol().family()) || tcp_endpoint(peer).address().is_loopback());
}

bool StreamSocket::set_options(bool nodelay) {
    Native::endpoint_type peer;
    if (!peer_of(socket_, peer)) {
        return false;
    }
    boost::system::error_code failure;
    if (is_tcp(peer.protocol().family())) {
        if (nodelay) {
            socket_.set_option(boost::asio::ip::tcp::no_delay(true), failure);
        }
        if (!failure) {
            socket_.set_option(boost::asio::socket_base::keep_alive(true), failure);
        }
    }
    return !failure;
}

void StreamSocket::cancel() noexcept {
    boost::system::error_code ignored;
    socket_.cancel(ignored);
}

void StreamSocket::close() noexcept { release().close(); }

ByteStream StreamSocket::release() noexcept {
    if (socket_.is_open()) {
        boost::system::error_code ignored;
        socket_.release(ignored);
    }
    return std::move(stream_);
}

}  // namespace karma::net
