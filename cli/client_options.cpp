#include "cli/client_options.h"

#include <cstdlib>

#include <boost/program_options/value_semantic.hpp>

#include "cli/command_line.h"

namespace karma::cli {

namespace po = boost::program_options;

po::options_description client_options_description() {
    po::options_description description("Connection");
    description.add_options()                                                                       //
        ("host", po::value<std::string>()->default_value("127.0.0.1")->value_name("HOST"),          //
         "the daemon's name or address")                                                            //
        ("port", po::value<std::string>()->default_value("8080")->value_name("PORT"),               //
         "the daemon's port")                                                                       //
        ("token", po::value<std::string>()->value_name("TOKEN"),                                    //
         "sent with every request; KARMA_TOKEN in the environment does the same unseen by others")  //
        ("timeout", po::value<std::string>()->default_value("30")->value_name("SECONDS"),           //
         "longest wait for the connection, and for the daemon while it neither takes nor sends a byte");
    return description;
}

ClientOptions read_client_options(const po::variables_map& values) {
    ClientOptions options;
    options.host = values["host"].as<std::string>();
    if (options.host.empty()) throw UsageError("--host is empty");
    options.port = static_cast<std::uint16_t>(number_option(values, "port", 1, 65'535));
    options.timeout = std::chrono::seconds(number_option(values, "timeout", 1, 86'400));
    if (values.count("token") != 0) {
        options.token = values["token"].as<std::string>();
    } else if (const char* const token = std::getenv("KARMA_TOKEN")) {
        options.token = token;
    }
    return options;
}

}  // namespace karma::cli
