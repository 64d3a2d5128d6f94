#include "cli/export.h"

#include <chrono>
#include <iostream>

#include <boost/program_options/value_semantic.hpp>

#include "cli/client_options.h"
#include "cli/daemon_export.h"
#include "cli/export_check.h"
#include "cli/offline.h"
#include "cli/subcommand.h"

namespace karma::cli {

namespace po = boost::program_options;

namespace {

constexpr const char* export_usage =
    "Usage: karma export [options] OUT                  (from a running daemon)\n"
    "       karma export [options] OUT --directory DIR  (from a stopped daemon's directory)\n"
    "\n"
    "Writes all series, as of one LSN, to the directory OUT: as .tree files with their metadata,\n"
    "karma.idempotency.json and recovery.json, which karma import OUT and Karma 1.0 read, or as CSV.\n";

constexpr const char* behind_export_options =
    "\nExit status: 0 done, 1 refused or not possible, 2 wrong usage, 3 no connection.\n";

po::options_description export_options() {
    po::options_description what("What and how");
    what.add_options()  //
        ("format", po::value<std::string>()->default_value("tree")->value_name("tree|csv"),
         "Karma 1.0's .tree files, or CSV with the rows key,bucket,value")                             //
        ("series", po::value<std::string>()->value_name("SERIES"), "only this one, with its records")  //
        ("directory", po::value<std::string>()->value_name("DIR"), "of a daemon that does not run")    //
        ("until", po::value<std::string>()->value_name("LSN|TIME"),
         "with --directory: the state at that point, or at the end of a UTC day (the latest)")  //
        ("no-snapshot", po::bool_switch(),
         "from a running daemon: take the latest snapshot of everything instead of a new one");
    po::options_description all;
    all.add(what).add(client_options_description());
    return all;
}

Exported from_directory(const po::variables_map& values, ExportDirectory& out, const std::string& series,
                        std::ostream& err) {
    const StoredDatabase stored(values["directory"].as<std::string>());
    warn_of_damage(stored, "karma export", err);
    NullSink sink;
    Engine engine(stored.hash_seed(), sink);
    rebuild(stored, until_option(values), engine);
    const auto now = std::chrono::system_clock::now().time_since_epoch() / std::chrono::seconds(1);
    return export_state(out, engine.view(), stored.storage(), format_option(values), series, now);
}

int export_to(const po::variables_map& values, std::ostream& out, std::ostream& err) {
    const std::string path = only_argument(values, "OUT");
    const bool is_offline = values.count("directory") != 0;
    if (!is_offline && values.count("until") != 0) throw UsageError("--until needs --directory");
    if (is_offline && values["no-snapshot"].as<bool>())
        throw UsageError("--no-snapshot excludes --directory");
    static_cast<void>(until_option(values));
    const std::string series = text_option(values, "series");
    const ExportFormat format = format_option(values);
    const ClientOptions client = read_client_options(values);
    ExportDirectory directory(path);
    const Exported exported =
        is_offline ? from_directory(values, directory, series, err)
                   : export_from_daemon(client, directory, format, series, !values["no-snapshot"].as<bool>());
    const ExportManifest manifest = finish_export(directory, exported, format, series);
    warn_of_left_out(exported, "karma export", err);
    print_exported(exported, directory.path(), manifest, out);
    return exit_success;
}

}  // namespace

int run_export(std::span<const std::string> args, std::ostream& out, std::ostream& err) {
    const Subcommand subcommand{"export", export_usage, behind_export_options, export_options(), true};
    return run_subcommand(subcommand, args, out, err,
                          [&](const po::variables_map& values) { return export_to(values, out, err); });
}

int export_main(std::span<const std::string> args) { return run_export(args, std::cout, std::cerr); }

}  // namespace karma::cli
