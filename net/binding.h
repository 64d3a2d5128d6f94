#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

namespace karma::net {

/// Binds all addresses that a host has (all of this machine for "*"), each to the same port, also where that
/// is 0 and the system chooses it; nothing listens yet. Addresses that this machine does not have, as ::1 of
/// localhost where there is no IPv6, are passed over as long as there is another one. Throws
/// std::runtime_error that names the address which cannot be bound, and `option` where there is none.
std::vector<boost::asio::ip::tcp::acceptor> bind_all(std::string_view option, const std::string& host,
                                                     std::uint16_t port, boost::asio::io_context& context);

}  // namespace karma::net
