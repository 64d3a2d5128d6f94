#include "cli/health.h"

#include <iostream>

#include "cli/daemon_reply.h"
#include "cli/subcommand.h"
#include "cli/wait_option.h"

namespace karma::cli {

namespace json = boost::json;
namespace po = boost::program_options;

namespace {

constexpr const char* health_usage =
    "Usage: karma health [options]\n"
    "\n"
    "Prints what system.health says: ok, or what a person has to look at.\n";

constexpr const char* behind_health_options =
    "\nExit status: 0 ok, 1 something is wrong, or the daemon refuses, 2 wrong usage, 3 no connection.\n";

po::options_description health_options() {
    po::options_description all;
    add_wait_option(all,
                    "wait until it is ok and, of a follower, until it is in sync, so long at most; without a "
                    "number 60");
    all.add(client_options_description());
    return all;
}

/// Why a follower is not in sync; empty where it is, and of a master.
std::string not_in_sync(DaemonClient& daemon) {
    const json::value response = daemon.ask("replication.status");
    const json::object& status = response.as_object();
    if (text_member(status, "role") == "master") return {};
    const std::string state = text_member(status, "replication_state");
    const json::value* const lag = status.if_contains("replication_lag_entries");
    const bool polls_all = state == "polling" && lag != nullptr && *lag == 0;
    return state == "streaming" || polls_all ? std::string() : "the follower is not in sync: " + state;
}

}  // namespace

int run_health(std::span<const std::string> args, std::ostream& out, std::ostream& err) {
    const Subcommand subcommand{"health", health_usage, behind_health_options, health_options()};
    return run_subcommand(subcommand, args, out, err, [&](const po::variables_map& values) {
        const std::string wrong = attempt_or_wait(values, [&](const ClientOptions& options) {
            DaemonClient daemon(options);
            const json::value health = daemon.ask("system.health");
            std::string status = text_member(health.as_object(), "status");
            if (status != "ok") return status;
            return values.count("wait") == 0 ? std::string() : not_in_sync(daemon);
        });
        out << (wrong.empty() ? "ok" : wrong) << '\n';
        return wrong.empty() ? exit_success : exit_failure;
    });
}

int health_main(std::span<const std::string> args) { return run_health(args, std::cout, std::cerr); }

}  // namespace karma::cli
