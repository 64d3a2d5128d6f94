#include "cli/client_options.h"

#include <cstdlib>
#include <fstream>
#include <string_view>

#include <boost/program_options/value_semantic.hpp>

#include "cli/command_line.h"
#include "cli/text.h"

namespace karma::cli {

namespace po = boost::program_options;

namespace {

constexpr std::uint64_t port_max = 65'535;

[[noreturn]] void refuse_url(const std::string& what, std::string_view url) {
    throw UsageError(what + ": " + cli::quoted(url) +
                     " is not karma://HOST or karma://HOST:PORT; an IPv6 address stands in brackets");
}

/// Sets host and port from a URL; `what` names where it comes from.
void read_url(const std::string& what, std::string_view url, ClientOptions& options) {
    constexpr std::string_view scheme = "karma://";
    if (!url.starts_with(scheme)) refuse_url(what, url);
    std::string_view rest = url.substr(scheme.size());
    if (rest.ends_with('/')) rest.remove_suffix(1);
    std::string_view host = rest.substr(0, rest.find(':'));
    if (rest.starts_with('[')) {
        const std::size_t end = rest.find(']');
        if (end == std::string_view::npos) refuse_url(what, url);
        host = rest.substr(1, end - 1);
        rest.remove_prefix(end + 1);
    } else {
        rest.remove_prefix(host.size());
    }
    if (host.empty() || host.find_first_of("/@?#") != std::string_view::npos) refuse_url(what, url);
    options.host = host;
    if (rest.empty()) return;
    if (!rest.starts_with(':')) refuse_url(what, url);
    options.port = static_cast<std::uint16_t>(parse_number(what, rest.substr(1), 1, port_max));
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
    if (has_host) options.host = values["host"].as<std::string>();
    if (options.host.empty()) throw UsageError("--host is empty");
    if (has_port) options.port = static_cast<std::uint16_t>(number_option(values, "port", 1, port_max));
}

/// The token in a file of one line.
std::string token_in_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string token;
    if (!std::getline(file, token))
        throw UsageError("--token-file: " + cli::quoted(path) + " cannot be read");
    if (token.ends_with('\r')) token.pop_back();
    if (token.empty()) throw UsageError("--token-file: " + cli::quoted(path) + " holds no token");
    if (file.peek() != std::ifstream::traits_type::eof())
        throw UsageError("--token-file: " + cli::quoted(path) + " has more than one line");
    return token;
}

void read_token(const po::variables_map& values, ClientOptions& options) {
    const bool has_file = values.count("token-file") != 0;
    if (values.count("token") != 0) {
        if (has_file) throw UsageError("--token and --token-file exclude each other");
        options.token = values["token"].as<std::string>();
    } else if (has_file) {
        options.token = token_in_file(values["token-file"].as<std::string>());
    } else if (const char* const token = std::getenv("KARMA_TOKEN")) {
        options.token = token;
    }
}

}  // namespace

po::options_description client_options_description() {
    const ClientOptions defaults;
    const auto timeout = std::chrono::duration_cast<std::chrono::seconds>(defaults.timeout).count();
    po::options_description description("Connection");
    description.add_options()                                                                 //
        ("url", po::value<std::string>()->value_name("karma://HOST:PORT"),                    //
         "the daemon's address; KARMA_URL in the environment does the same")                  //
        ("host", po::value<std::string>()->default_value(defaults.host)->value_name("HOST"),  //
         "the daemon's name or address")                                                      //
        ("port",
         po::value<std::string>()->default_value(std::to_string(defaults.port))->value_name("PORT"),  //
         "the daemon's port")                                                                         //
        ("token", po::value<std::string>()->value_name("TOKEN"),                                      //
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
    options.timeout = std::chrono::seconds(number_option(values, "timeout", 1, 86'400));
    read_token(values, options);
    return options;
}

}  // namespace karma::cli
