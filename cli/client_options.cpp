#include "cli/client_options.h"

#include <cstdlib>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/program_options/value_semantic.hpp>

#include "cli/command_line.h"
#include "cli/text.h"
#include "cli/token.h"
#include "net/address_text.h"

namespace karma::cli {

namespace po = boost::program_options;

namespace {

constexpr std::uint64_t port_max = 65'535;

/// Sets the endpoint from a URL; `what` names where it comes from.
void read_url(const std::string& what, std::string_view url, ClientOptions& options) {
    net::EndpointUrl endpoint;
    try {
        endpoint = net::parse_endpoint_url(url);
    } catch (const std::invalid_argument& wrong) {
        throw UsageError(what + ": " + wrong.what());
    }
    if (endpoint.host == "*") throw UsageError(what + ": * is for daemons, which listen there");
    if (endpoint.port == 0) endpoint.port = options.endpoint.port;
    options.endpoint = std::move(endpoint);
}

/// A file that the option names, else the environment variable.
std::string file_of(const po::variables_map& values, const char* option, const char* variable) {
    if (values.count(option) != 0) return values[option].as<std::string>();
    const char* const path = std::getenv(variable);
    return path == nullptr ? "" : path;
}

void read_tls(const po::variables_map& values, ClientOptions& options) {
    options.tls.authorities = file_of(values, "tls-ca", "KARMA_TLS_CA");
    options.tls.certificate = file_of(values, "tls-cert", "KARMA_TLS_CERT");
    options.tls.key = file_of(values, "tls-key", "KARMA_TLS_KEY");
    if (options.tls.certificate.empty() != options.tls.key.empty()) {
        throw UsageError("--tls-cert and --tls-key belong together: one of them is missing");
    }
    for (const char* const option : {"tls-ca", "tls-cert"}) {
        if (values.count(option) != 0 && options.endpoint.transport != net::Transport::tls) {
            throw UsageError(std::string("--") + option + " needs --url=karmas://HOST:PORT");
        }
    }
}

void read_address(const po::variables_map& values, ClientOptions& options) {
    const bool has_host = !values["host"].defaulted();
    const bool has_port = !values["port"].defaulted();
    if (values.count("url") != 0) {
        if (has_host || has_port) throw UsageError("--url says host and port: leave out --host and --port");
        read_url("--url", values["url"].as<std::string>(), options);
        return;
    }
    if (const char* const url = std::getenv("KARMA_URL"); url != nullptr && *url != '\0') {
        if (!has_host || !has_port) read_url("KARMA_URL", url, options);
    }
    net::EndpointUrl& endpoint = options.endpoint;
    if ((has_host || has_port) && endpoint.transport == net::Transport::unix_socket) {
        endpoint = ClientOptions().endpoint;  // what is given goes before the environment
    }
    if (has_host) endpoint.host = values["host"].as<std::string>();
    if (endpoint.host.empty() && endpoint.path.empty()) throw UsageError("--host is empty");
    if (has_port) endpoint.port = static_cast<std::uint16_t>(number_option(values, "port", 1, port_max));
}

void read_token(const po::variables_map& values, ClientOptions& options) {
    const bool has_file = values.count("token-file") != 0;
    if (values.count("token") != 0) {
        if (has_file) throw UsageError("--token and --token-file exclude each other");
        options.token = values["token"].as<std::string>();
    } else if (has_file) {
        std::vector<std::string> warnings;  // the daemon says them of its own files
        options.token = token_of_file(values["token-file"].as<std::string>(), "--token-file", warnings);
    } else if (const char* const token = std::getenv("KARMA_TOKEN")) {
        options.token = token;
    }
}

}  // namespace

std::string address_of(const ClientOptions& options) {
    const net::EndpointUrl& endpoint = options.endpoint;
    return endpoint.transport == net::Transport::tcp ? net::address_text(endpoint.host, endpoint.port)
                                                     : net::url_text(endpoint);
}

net::ClientConnection connect(const ClientOptions& options) {
    std::unique_ptr<net::TlsSession> session;
    if (options.endpoint.transport == net::Transport::tls) {
        try {
            session = net::TlsContext::for_client(options.tls)->connect(options.endpoint.host);
        } catch (const net::TlsError& wrong) {
            throw UsageError(wrong.what());
        }
    }
    return {options.endpoint, std::move(session), options.timeout};
}

po::options_description client_options_description() {
    const ClientOptions defaults;
    const auto timeout = std::chrono::duration_cast<std::chrono::seconds>(defaults.timeout).count();
    po::options_description description("Connection");
    description.add_options()                                 //
        ("url", po::value<std::string>()->value_name("URL"),  //
         "the daemon's address: karma://HOST:PORT, karmas://HOST:PORT for TLS, or unix:PATH; KARMA_URL in "
         "the environment does the same")                                                              //
        ("host", po::value<std::string>()->default_value(defaults.endpoint.host)->value_name("HOST"),  //
         "the daemon's name or address")                                                               //
        ("port",
         po::value<std::string>()
             ->default_value(std::to_string(defaults.endpoint.port))
             ->value_name("PORT"),                                //
         "the daemon's port")                                     //
        ("tls-ca", po::value<std::string>()->value_name("FILE"),  //
         "PEM file of the authorities, one of which has to have signed the daemon's certificate; "
         "KARMA_TLS_CA "
         "does the same, and else those of the system count")       //
        ("tls-cert", po::value<std::string>()->value_name("FILE"),  //
         "PEM file of a certificate, where the daemon asks its clients for one; KARMA_TLS_CERT does the "
         "same")                                                   //
        ("tls-key", po::value<std::string>()->value_name("FILE"),  //
         "its private key; KARMA_TLS_KEY does the same")           //
        ("token", po::value<std::string>()->value_name("TOKEN"),   //
         "sent with every request. Other users of this machine can see it: prefer --token-file, or "
         "KARMA_TOKEN in the environment")                            //
        ("token-file", po::value<std::string>()->value_name("FILE"),  //
         "a file that holds the token in its only line")              //
        ("timeout",
         po::value<std::string>()->default_value(std::to_string(timeout))->value_name("SECONDS"),  //
         "longest wait for the connection (with looking the name up), and for the daemon while it neither "
         "takes nor sends a byte");
    return description;
}

ClientOptions read_client_options(const po::variables_map& values) {
    ClientOptions options;
    read_address(values, options);
    read_tls(values, options);
    options.timeout = std::chrono::seconds(number_option(values, "timeout", 1, 86'400));
    read_token(values, options);
    return options;
}

}  // namespace karma::cli
