#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace karma::net {

enum class Transport : std::uint8_t { tcp, tls, unix_socket };

/// An address at which a daemon listens or can be reached.
struct EndpointUrl {
    Transport transport = Transport::tcp;
    std::string host;        // a name or an address, "*" for all of this machine; empty for a Unix socket
    std::uint16_t port = 0;  // 0: none is named
    std::string path;        // of a Unix socket

    bool operator==(const EndpointUrl&) const = default;
};

/// Reads karma://HOST:PORT, karmas://HOST:PORT (TLS) or unix:PATH. An IPv6 address is in brackets, the port
/// is optional. Throws std::invalid_argument that says what is wrong; the caller puts the name of the option
/// in front.
EndpointUrl parse_endpoint_url(std::string_view url);

/// The same as text.
std::string url_text(const EndpointUrl& endpoint);

}  // namespace karma::net
