#pragma once

#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "net/server_options.h"

namespace karma::net {

/// Binds all addresses that the host of `options` has, each to the same port, also where that is 0 and the
/// system chooses it; nothing listens yet. Addresses that this machine does not have, as ::1 of localhost
/// where there is no IPv6, are passed over as long as there is another one. Throws std::runtime_error that
/// names the address which cannot be bound.
std::vector<boost::asio::ip::tcp::acceptor> bind_all(const ServerOptions& options,
                                                     boost::asio::io_context& context);

}  // namespace karma::net
