#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "net/endpoint_url.h"
#include "net/server_options.h"
#include "net/unix_listener.h"

namespace karma::net {

/// One address on which the server listens. Belongs to the thread of its event loop.
struct Listener {
    using Acceptor = boost::asio::basic_socket_acceptor<boost::asio::generic::stream_protocol>;

    Acceptor acceptor;
    Transport transport = Transport::tcp;
    std::string address;     // HOST:PORT for --bind, a URL for --listen
    std::uint16_t port = 0;  // 0: a Unix socket
    UnixSocketFile file;
    boost::asio::steady_timer pause;  // before the next try, after accepting has failed
};

/// Listens on all addresses that the options name, those of --bind first. Throws std::runtime_error that
/// names an address that cannot be bound.
std::vector<Listener> listen_on(const ServerOptions& options, boost::asio::io_context& context);

/// Throws std::runtime_error as `listen_on` would, and changes nothing.
void check_listeners(const ServerOptions& options);

}  // namespace karma::net
