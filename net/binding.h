#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

namespace karma::net {

/// Binds all addresses of a host ("*": all of this machine) to the same port, also if the port is 0 and the
/// system chooses it; no socket listens yet. Skips addresses that this machine does not have, such as ::1 of
/// localhost without IPv6, if there is another one. Throws std::runtime_error that names the address that
/// cannot be bound, or `option` if there is no address.
std::vector<boost::asio::ip::tcp::acceptor> bind_all(std::string_view option, const std::string& host,
                                                     std::uint16_t port, boost::asio::io_context& context);

}  // namespace karma::net
