#include "cli/replay.h"

#include <chrono>
#include <iomanip>
#include <iostream>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <boost/program_options/value_semantic.hpp>

#include "cli/export_check.h"
#include "cli/offline.h"
#include "cli/subcommand.h"
#include "cli/text.h"
#include "engine/timestamp.h"

namespace karma::cli {

namespace json = boost::json;
namespace po = boost::program_options;

namespace {

constexpr const char* replay_usage =
    "Usage: karma replay [options] DIR\n"
    "\n"
    "Rebuilds the state that a stopped daemon's directory had at some point, from the nearest snapshot\n"
    "and the events after it. Changes nothing there.\n";

constexpr const char* behind_replay_options =
    "\nExit status: 0 done, 1 not possible (the message says what is kept), 2 wrong usage.\n";

po::options_description replay_options() {
    po::options_description visible("Options");
    visible.add_options()  //
        ("until", po::value<std::string>()->value_name("LSN|TIME"),
         "the last event to apply, a time after which nothing is, or a UTC day, which means its end (the "
         "latest state)")                                                                                 //
        ("series", po::value<std::string>()->value_name("SERIES"), "print and export only this one")      //
        ("export", po::value<std::string>()->value_name("OUT"), "write the state to this directory too")  //
        ("format", po::value<std::string>()->default_value("tree")->value_name("tree|csv"),
         "of the export: Karma 1.0's .tree files, or CSV")  //
        ("json", po::bool_switch(), "print one JSON object");
    return visible;
}

struct State {
    StateView view;
    Restored restored;
    std::string digest;
};

void print(const State& state, const std::string& series, std::ostream& out) {
    constexpr int wide = 16;
    for (const SeriesView& view : state.view.series) {
        if (series.empty() || view.name() == series) {
            out << std::setw(wide) << grouped(view.totals().keys) << " keys" << std::setw(wide)
                << grouped(view.totals().buckets) << " points" << std::setw(wide + 4)
                << to_decimal(view.totals().total) << " total  " << cli::quoted(view.name()) << '\n';
        }
    }
    out << "LSN " << state.view.lsn;
    if (state.restored.events != 0) {
        out << " of " << rfc3339_from_unix_ms(state.restored.last_event_ms);
    }
    out << ": snapshot at LSN " << state.restored.snapshot_lsn << " and "
        << counted(state.restored.events, "event") << '\n'
        << "digest " << state.digest << '\n';
}

json::object summary(const State& state, const std::string& series) {
    json::array all;
    for (const SeriesView& view : state.view.series) {
        if (series.empty() || view.name() == series) {
            all.push_back(json::object{{"series", view.name()},
                                       {"keys", view.totals().keys},
                                       {"points", view.totals().buckets},
                                       {"total", to_decimal(view.totals().total)}});
        }
    }
    return {{"lsn", state.view.lsn},
            {"snapshot_lsn", state.restored.snapshot_lsn},
            {"events", state.restored.events},
            {"digest", state.digest},
            {"series", std::move(all)}};
}

int replay(const po::variables_map& values, std::ostream& out, std::ostream& err) {
    const StoredDatabase stored(only_argument(values, "DIR"));
    warn_of_damage(stored, "karma replay", err);
    NullSink sink;
    Engine engine(stored.hash_seed(), sink);
    State state;
    state.restored = rebuild(stored, until_option(values), engine);
    state.view = engine.view();
    state.digest = state.view.digest(NoDeadline()).text();
    for (const std::string& damage : state.restored.damaged) {
        err << "karma replay: skipped: " << damage << '\n';
    }
    const std::string series = text_option(values, "series");
    if (values["json"].as<bool>()) {
        out << json::serialize(summary(state, series)) << '\n';
    } else {
        print(state, series, out);
    }
    if (values.count("export") != 0) {
        ExportDirectory directory(values["export"].as<std::string>());
        const auto now = std::chrono::system_clock::now().time_since_epoch() / std::chrono::seconds(1);
        const Exported exported =
            export_state(directory, state.view, stored.storage(), format_option(values), series, now);
        const ExportManifest manifest = finish_export(directory, exported, format_option(values), series);
        warn_of_left_out(exported, "karma replay", err);
        if (!values["json"].as<bool>()) {
            print_exported(exported, directory.path(), manifest, out);
        }
    }
    return exit_success;
}

}  // namespace

int run_replay(std::span<const std::string> args, std::ostream& out, std::ostream& err) {
    const Subcommand subcommand{"replay", replay_usage, behind_replay_options, replay_options(), true};
    return run_subcommand(subcommand, args, out, err, [&](const po::variables_map& values) {
        static_cast<void>(format_option(values));
        return replay(values, out, err);
    });
}

int replay_main(std::span<const std::string> args) { return run_replay(args, std::cout, std::cerr); }

}  // namespace karma::cli
