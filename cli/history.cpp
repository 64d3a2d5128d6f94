#include "cli/history.h"

#include <iomanip>
#include <iostream>
#include <limits>
#include <string_view>

#include <boost/json/serialize.hpp>
#include <boost/program_options/value_semantic.hpp>

#include "cli/client_options.h"
#include "cli/command_line.h"
#include "cli/daemon_reply.h"
#include "cli/event_text.h"
#include "cli/subcommand.h"
#include "cli/text.h"
#include "engine/day.h"
#include "engine/timestamp.h"

namespace karma::cli {

namespace json = boost::json;
namespace po = boost::program_options;

namespace {

constexpr const char* history_usage =
    "Usage: karma history [options]\n"
    "\n"
    "Prints what happened: the events that a running daemon keeps, the oldest first.\n";

constexpr const char* behind_history_options =
    "\n"
    "A TIME is a UTC day such as 2026-05-05 (--from its beginning, --to its end), RFC 3339 such as\n"
    "2026-05-05T13:30:00Z, or Unix seconds.\n"
    "Exit status: 0 success, 1 the daemon refused, 2 wrong usage, 3 no connection.\n";

constexpr std::uint64_t page_max = 1000;

struct HistoryOptions {
    ClientOptions client;
    json::object filter;  // fields of event.list
    std::uint64_t limit = 0;
    bool as_json = false;
};

po::options_description history_options() {
    po::options_description which("Which events");
    which.add_options()                                                                             //
        ("series", po::value<std::string>()->value_name("SERIES"), "of this series")                //
        ("key", po::value<std::string>()->value_name("KEY"), "that change this key of the series")  //
        ("from", po::value<std::string>()->value_name("TIME"), "not before")                        //
        ("to", po::value<std::string>()->value_name("TIME"), "not after")                           //
        ("after-lsn", po::value<std::string>()->value_name("LSN"), "behind this event")             //
        ("limit", po::value<std::string>()->default_value("100")->value_name("N"), "so many, 0 for all");
    po::options_description output("Output");
    output.add_options()  //
        ("json", po::bool_switch(), "one JSON object a line: {\"lsn\",\"time\",\"entry\"}");
    po::options_description all;
    all.add(which).add(output).add(client_options_description());
    return all;
}

json::value time_field(const po::variables_map& values, const char* name) {
    const auto& text = values[name].as<std::string>();
    const bool has_dashes = text.find('-') != std::string::npos;
    if (has_dashes && day_from_text(text)) {
        return json::value(text + (name == std::string_view("to") ? "T23:59:59Z" : "T00:00:00Z"));
    }
    if (unix_ms_from_rfc3339(text)) {
        return json::value(text);
    }
    try {
        return json::value(
            parse_number(std::string("--") + name, text, 0, std::numeric_limits<std::int64_t>::max()));
    } catch (const UsageError&) {
        throw UsageError(
            std::string("--") + name + ": " + cli::quoted(text) +
            " is no UTC day such as 2026-05-05, no time such as 2026-05-05T00:00:00Z, and no Unix "
            "seconds");
    }
}

HistoryOptions read_options(const po::variables_map& values) {
    HistoryOptions options;
    options.client = read_client_options(values);
    options.as_json = values["json"].as<bool>();
    constexpr std::uint64_t any = std::numeric_limits<std::uint64_t>::max();
    options.limit = number_option(values, "limit", 0, any);
    if (values.count("series") != 0) {
        options.filter["series"] = values["series"].as<std::string>();
    }
    if (values.count("key") != 0) {
        if (values.count("series") == 0) throw UsageError("--key needs --series");
        options.filter["key"] = number_option(values, "key", 0, any);
    }
    if (values.count("after-lsn") != 0) {
        options.filter["after_lsn"] = number_option(values, "after-lsn", 0, any);
    }
    for (const char* const name : {"from", "to"}) {
        if (values.count(name) != 0) options.filter[name] = time_field(values, name);
    }
    return options;
}

void print_event(const json::object& event, bool as_json, std::ostream& out) {
    if (as_json) {
        out << json::serialize(event) << '\n';
        return;
    }
    constexpr int lsn_width = 12;
    constexpr int op_width = 26;
    constexpr int series_width = 20;
    const json::object& entry = event.at("entry").as_object();
    out << std::setw(lsn_width) << json::serialize(event.at("lsn")) << "  " << text_member(event, "time")
        << "  " << std::left << std::setw(op_width) << text_member(entry, "op") << ' '
        << std::setw(series_width) << series_of_entry(entry) << ' ' << std::right << facts_of_entry(entry)
        << '\n';
}

int history(HistoryOptions options, std::ostream& out, std::ostream& err) {
    DaemonClient daemon(options.client);
    std::uint64_t printed = 0;
    while (options.limit == 0 || printed < options.limit) {
        options.filter["limit"] = options.limit == 0 ? page_max : std::min(page_max, options.limit - printed);
        const json::value response = daemon.ask("event.list", options.filter);
        for (const json::value& event : response.at("events").as_array()) {
            print_event(event.as_object(), options.as_json, out);
            ++printed;
        }
        out.flush();
        if (response.at("complete").as_bool()) {
            return exit_success;
        }
        options.filter["after_lsn"] = response.at("next_lsn");
    }
    err << "There may be more: --after-lsn " << json::serialize(options.filter["after_lsn"])
        << " goes on, --limit 0 prints all\n";
    return exit_success;
}

}  // namespace

int run_history(std::span<const std::string> args, std::ostream& out, std::ostream& err) {
    const Subcommand subcommand{"history", history_usage, behind_history_options, history_options()};
    return run_subcommand(subcommand, args, out, err, [&](const po::variables_map& values) {
        return history(read_options(values), out, err);
    });
}

int history_main(std::span<const std::string> args) { return run_history(args, std::cout, std::cerr); }

}  // namespace karma::cli
