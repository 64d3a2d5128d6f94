#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include <boost/program_options/options_description.hpp>
#include <boost/program_options/variables_map.hpp>

namespace karma::cli {

/// What every subcommand needs that talks to a daemon.
struct ClientOptions {
    std::string host = "127.0.0.1";
    std::uint16_t port = 8080;
    std::string token;  // empty: none is sent
    std::chrono::milliseconds timeout{30'000};
};

/// --url, --host, --port, --token, --token-file and --timeout, with their descriptions.
boost::program_options::options_description client_options_description();

/// Reads them back. Where neither --url nor both of --host and --port are given, the environment variable
/// KARMA_URL says what is missing; KARMA_TOKEN stands in for a token that is not given. Throws UsageError.
ClientOptions read_client_options(const boost::program_options::variables_map& values);

}  // namespace karma::cli
