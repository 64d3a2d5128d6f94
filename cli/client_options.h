#pragma once

#include <chrono>
#include <string>

#include <boost/program_options/options_description.hpp>
#include <boost/program_options/variables_map.hpp>

#include "net/client_connection.h"
#include "net/endpoint_url.h"
#include "net/tls_context.h"

namespace karma::cli {

/// The options of every subcommand that connects to a daemon.
struct ClientOptions {
    net::EndpointUrl endpoint{net::Transport::tcp, "127.0.0.1", 8080, {}};
    net::TlsFiles tls;  // where the endpoint is over TLS
    std::string token;  // empty: none is sent
    std::chrono::milliseconds timeout{30'000};
};

/// The daemon's address for people: HOST:PORT, or a URL where it is over TLS or a Unix socket.
std::string address_of(const ClientOptions& options);

/// Connects to the daemon. Throws ConnectionError, and UsageError where certificates cannot be used.
net::ClientConnection connect(const ClientOptions& options);

/// --url, --host, --port, --tls-ca, --tls-cert, --tls-key, --token, --token-file and --timeout, with their
/// descriptions.
boost::program_options::options_description client_options_description();

/// Reads them back. Where neither --url nor both of --host and --port are given, the environment variable
/// KARMA_URL says what is missing; KARMA_TOKEN stands in for a token that is not given. Throws UsageError.
ClientOptions read_client_options(const boost::program_options::variables_map& values);

}  // namespace karma::cli
