#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "net/endpoint_url.h"
#include "net/tls_context.h"
#include "net/token_set.h"

namespace karma::net {

struct ServerOptions {
    std::string address = "0.0.0.0";  // IPv4, IPv6 or a host name
    std::uint16_t port = 8080;        // 0: any free one; none where `listen` names others
    std::vector<EndpointUrl> listen;  // further ones
    TlsFiles tls;                     // of those of them that need it
    unsigned threads = 1;             // that serve connections
    bool nodelay = true;
    std::size_t request_bytes_max = 1'048'576;
    std::size_t response_bytes_max = 1'048'576;  // 0: no limit
    std::size_t connections_max = 0;             // at the same time; 0: no limit
    std::size_t reply_memory_max = 0;            // bytes of large replies that wait for clients; 0: no limit
    std::size_t request_memory_max = 0;          // bytes of input that is no whole request yet; 0: no limit
    std::chrono::milliseconds read_timeout{5000};   // for a request that has begun; 0: none
    std::chrono::milliseconds write_timeout{5000};  // without progress of who takes replies; 0: none
    std::chrono::milliseconds idle_timeout{0};      // without a request; 0: none
    std::chrono::milliseconds query_timeout{1000};  // from when the request was received; 0: none
    std::chrono::milliseconds shutdown_timeout{5000};
    bool refuse_unknown_fields = false;  // in requests; otherwise they are passed over
    bool protocol_v1 = false;            // requests of protocol v1 are taken beside those of v2
    std::string auth_token;              // empty: none
    std::string read_auth_token;         // empty: none
    std::vector<NamedToken> tokens;      // further ones

    /// All of these tokens.
    TokenSet token_set() const;
};

}  // namespace karma::net
