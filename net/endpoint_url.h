#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace karma::net {

enum class Transport : std::uint8_t { tcp, tls, unix_socket };

/// Where a daemon listens, or is reached.
struct EndpointUrl {
    Transport transport = Transport::tcp;
    std::string host;        // a name or an address, "*" for all of this machine; empty for a Unix socket
    std::uint16_t port = 0;  // 0: none is named
    std::string path;        // of a Unix socket

    bool operator==(const EndpointUrl&) const = default;
};

/// Reads karma://HOST:PORT, karmas://HOST:PORT (TLS) or unix:PATH; an IPv6 address stands in brackets, a port
/// may be left out. Throws std::invalid_argument with what is wrong with it, to be put behind its name.
EndpointUrl parse_endpoint_url(std::string_view url);

/// The same as text.
std::string url_text(const EndpointUrl& endpoint);

}  // namespace karma::net
