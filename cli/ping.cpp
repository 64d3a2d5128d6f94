#include "cli/ping.h"

#include <iostream>

#include "cli/daemon_reply.h"
#include "cli/subcommand.h"
#include "cli/wait_option.h"

namespace karma::cli {

namespace po = boost::program_options;

namespace {

constexpr const char* ping_usage =
    "Usage: karma ping [options]\n"
    "\n"
    "Prints \"pong\" when a daemon answers. It does so as soon as it has restored its data.\n";

constexpr const char* behind_ping_options =
    "\nExit status: 0 it answers, 1 it refuses (a wrong token), 2 wrong usage, 3 it does not answer.\n";

po::options_description ping_options() {
    po::options_description all;
    add_wait_option(all, "wait until it answers, so long at most; without a number 60");
    all.add(client_options_description());
    return all;
}

}  // namespace

int run_ping(std::span<const std::string> args, std::ostream& out, std::ostream& err) {
    const Subcommand subcommand{"ping", ping_usage, behind_ping_options, ping_options()};
    return run_subcommand(subcommand, args, out, err, [&](const po::variables_map& values) {
        attempt_or_wait(values, [](const ClientOptions& options) {
            DaemonClient(options).ask("system.ping");
            return std::string();
        });
        out << "pong\n";
        return exit_success;
    });
}

int ping_main(std::span<const std::string> args) { return run_ping(args, std::cout, std::cerr); }

}  // namespace karma::cli
