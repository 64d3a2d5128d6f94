#include "cli/status.h"

#include <algorithm>
#include <iomanip>
#include <iostream>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <boost/program_options/value_semantic.hpp>

#include "cli/client_options.h"
#include "cli/daemon_reply.h"
#include "cli/subcommand.h"
#include "cli/text.h"
#include "net/address_text.h"

namespace karma::cli {

namespace json = boost::json;
namespace po = boost::program_options;

namespace {

constexpr const char* status_usage =
    "Usage: karma status [options]\n"
    "\n"
    "Prints what a running daemon is and how it does: health, role, what it holds, who follows it.\n";

constexpr const char* behind_status_options =
    "\nExit status: 0 its health is ok, 1 a person has to look at it, or it refuses, 2 wrong usage, 3 no\n"
    "connection.\n";

po::options_description status_options() {
    po::options_description output("Output");
    output.add_options()  //
        ("json", po::bool_switch(),
         "one JSON object: the responses of system.health, system.stats and "
         "replication.status");
    po::options_description all;
    all.add(output).add(client_options_description());
    return all;
}

/// What the daemon has answered.
struct Answers {
    json::object health;
    json::object stats;
    json::object replication;
};

/// A fraction is cut off.
std::uint64_t number_in(const json::object& object, const char* name) {
    const json::value* const value = object.if_contains(name);
    if (value == nullptr || !value->is_number()) return 0;
    return value->is_double() ? static_cast<std::uint64_t>(std::max(value->get_double(), 0.0))
                              : value->to_number<std::uint64_t>();
}

/// A daemon of before does not know all members.
std::string text_or(const json::object& object, const char* name, const char* otherwise) {
    const std::string text = text_member(object, name);
    return text.empty() ? otherwise : text;
}

std::string size_text(std::uint64_t bytes) {
    constexpr const char* units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    std::size_t unit = 0;
    for (; bytes >= 10'240 && unit + 1 < std::size(units); ++unit) {
        bytes /= 1024;
    }
    return grouped(bytes) + " " + units[unit];
}

std::string uptime_text(std::uint64_t seconds) {
    constexpr std::uint64_t minute = 60;
    constexpr std::uint64_t hour = 60 * minute;
    constexpr std::uint64_t day = 24 * hour;
    if (seconds >= day)
        return counted(seconds / day, "day") + " " + std::to_string(seconds % day / hour) + " h";
    if (seconds >= hour) {
        return std::to_string(seconds / hour) + " h " + std::to_string(seconds % hour / minute) + " min";
    }
    return seconds >= minute ? std::to_string(seconds / minute) + " min" : std::to_string(seconds) + " s";
}

class StatusPrinter {
public:
    explicit StatusPrinter(std::ostream& out) : out_(out) {}

    void print(const std::string& address, const Answers& of) {
        line("address") << address << '\n';
        line("health") << text_member(of.health, "status") << '\n';
        line("role") << text_member(of.health, "role") << ", epoch "
                     << number_in(of.stats, "replication_epoch") << '\n';
        line("uptime") << uptime_text(number_in(of.health, "uptime_seconds")) << '\n';
        const std::uint64_t keys = number_in(of.stats, "keys");
        line("holds") << grouped(number_in(of.stats, "trees")) << " series, " << grouped(keys)
                      << (keys == 1 ? " key\n" : " keys\n");
        line("last LSN") << number_in(of.stats, "wal_current_lsn") << '\n';
        const json::value* const has_log = of.stats.if_contains("wal_enabled");
        const bool is_logged = has_log == nullptr || !has_log->is_bool() || has_log->get_bool();
        line("event log") << (is_logged ? size_text(number_in(of.stats, "wal_bytes"))
                                        : "none: only snapshots survive a restart")
                          << '\n';
        line("snapshots") << grouped(number_in(of.stats, "dump_count"))
                          << ", the latest of everything at LSN "
                          << number_in(of.replication, "last_snapshot_lsn") << '\n';
        line("memory") << size_text(number_in(of.stats, "memory_bytes")) << '\n';
        line("requests") << grouped(number_in(of.stats, "command_count")) << ", of which "
                         << grouped(number_in(of.stats, "error_count")) << " refused or failed\n";
        line("database id") << text_or(of.replication, "database_id", "not known") << '\n';
        line("node id") << text_or(of.replication, "node_id", "not known") << '\n';
        print_source(of.replication);
        print_followers(of.replication);
    }

private:
    std::ostream& line(const char* name) { return out_ << std::left << std::setw(13) << name; }

    void print_source(const json::object& replication) {
        const std::string source = text_member(replication, "replication_source");
        if (source.empty()) return;
        line("follows") << source << ": " << text_member(replication, "replication_state");
        if (const json::value* const lag = replication.if_contains("replication_lag_entries");
            lag != nullptr && lag->is_number()) {
            out_ << ", " << counted(lag->to_number<std::uint64_t>(), "event") << " behind";
        }
        out_ << '\n';
    }

    void print_followers(const json::object& replication) {
        const json::value* const followers = replication.if_contains("followers");
        if (followers == nullptr || !followers->is_array()) return;
        for (const json::value& one : followers->get_array()) {
            const json::object& follower = one.as_object();
            line("follower") << text_member(follower, "name") << " (" << text_member(follower, "address")
                             << "): " << text_member(follower, "state") << ", "
                             << counted(number_in(follower, "lag_entries"), "event") << " behind\n";
        }
    }

    std::ostream& out_;
};

int print_status(const ClientOptions& options, bool as_json, std::ostream& out) {
    DaemonClient daemon(options);
    Answers answers;
    answers.health = daemon.ask("system.health").as_object();
    answers.stats = daemon.ask("system.stats").as_object();
    // Without the list of snapshots, which may be long; a daemon of before passes over the field.
    answers.replication = daemon.ask("replication.status", {{"limit", 0}}).as_object();
    const bool is_ok = text_member(answers.health, "status") == "ok";
    if (as_json) {
        out << json::serialize(json::object{{"health", std::move(answers.health)},
                                            {"stats", std::move(answers.stats)},
                                            {"replication", std::move(answers.replication)}})
            << '\n';
    } else {
        StatusPrinter(out).print(address_of(options), answers);
    }
    return is_ok ? exit_success : exit_failure;
}

}  // namespace

int run_status(std::span<const std::string> args, std::ostream& out, std::ostream& err) {
    const Subcommand subcommand{"status", status_usage, behind_status_options, status_options()};
    return run_subcommand(subcommand, args, out, err, [&](const po::variables_map& values) {
        return print_status(read_client_options(values), values["json"].as<bool>(), out);
    });
}

int status_main(std::span<const std::string> args) { return run_status(args, std::cout, std::cerr); }

}  // namespace karma::cli
