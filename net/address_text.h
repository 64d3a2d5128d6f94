#pragma once

#include <cstdint>
#include <string>

namespace karma::net {

/// An address for people: host and port with a colon between them, an IPv6 address in brackets.
inline std::string address_text(const std::string& host, std::uint16_t port) {
    const bool bare_ipv6 = host.find(':') != std::string::npos;
    return (bare_ipv6 ? '[' + host + ']' : host) + ':' + std::to_string(port);
}

}  // namespace karma::net
