#include "cli/promote.h"

#include <iostream>

#include <boost/json/serialize.hpp>
#include <boost/program_options/value_semantic.hpp>

#include "cli/client_options.h"
#include "cli/daemon_reply.h"
#include "cli/subcommand.h"
#include "cli/text.h"

namespace karma::cli {

namespace po = boost::program_options;
namespace json = boost::json;

namespace {

constexpr const char* promote_usage =
    "Usage: karma promote [options]\n"
    "\n"
    "Makes a running follower the master: it applies what it has received, asks the other followers for "
    "their\n"
    "promise not to follow the old master any more, begins a new epoch and takes writes. It is refused "
    "where\n"
    "another follower is ahead of it. The old master takes no more writes as soon as the two can talk.\n"
    "\n"
    "With --force it asks nobody, and a master that is fenced, since another node was promoted, is made "
    "master\n"
    "again: what others have acknowledged meanwhile may be lost.\n";

constexpr const char* behind_promote_options =
    "\nExit status: 0 done, 1 refused, 2 wrong usage, 3 no connection.\n"
    "Before and after: docs/replication.md, \"Failover by hand\".\n";

int promote(const po::variables_map& values, std::ostream& out) {
    const ClientOptions options = read_client_options(values);
    DaemonClient daemon(options);
    const json::value promoted = daemon.ask("replication.promote", {{"force", values["force"].as<bool>()}});
    const auto figure = [&](const char* name) { return json::serialize(promoted.at(name)); };
    out << address_of(options) << " is the master of epoch " << figure("epoch") << ", which began at LSN "
        << figure("lsn") << '\n';
    for (const json::value& name : promoted.at("without_promise").as_array()) {
        out << "without the promise of " << json::serialize(name)
            << ", which did not answer: what the old master acknowledged together with it may be lost\n";
    }
    return exit_success;
}

po::options_description promote_options() {
    po::options_description all;
    all.add_options()("force", po::bool_switch(), "ask nobody, and make a fenced master the master again");
    all.add(client_options_description());
    return all;
}

}  // namespace

int run_promote(std::span<const std::string> args, std::ostream& out, std::ostream& err) {
    const Subcommand subcommand{"promote", promote_usage, behind_promote_options, promote_options(), false};
    return run_subcommand(subcommand, args, out, err,
                          [&](const po::variables_map& values) { return promote(values, out); });
}

int promote_main(std::span<const std::string> args) { return run_promote(args, std::cout, std::cerr); }

}  // namespace karma::cli
