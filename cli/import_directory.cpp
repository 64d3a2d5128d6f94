#include "cli/import_directory.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <optional>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/program_options/value_semantic.hpp>

#include "cli/export_check.h"
#include "cli/import_options.h"
#include "cli/karma1/directory_importer.h"
#include "cli/subcommand.h"
#include "cli/text.h"
#include "persist/data_directory.h"
#include "persist/rocksdb_storage.h"
#include "persist/snapshot_store.h"

namespace karma::cli {

namespace json = boost::json;
namespace po = boost::program_options;

namespace {

constexpr const char* import_directory_usage =
    "Usage: karma import [options] DIR\n"
    "\n"
    "Takes the directory of a Karma 1.0 over, or one that karma export has written: the latest .tree file\n"
    "of each series, the log after them, idempotency records, committed streams and recovery checkpoints.\n"
    "Of a Karma 0.1: the latest .tree file of each series and then all of karma.wal.\n"
    "Makes a new database; the old files stay as they are. Neither daemon may run.\n";

constexpr const char* behind_import_directory_options =
    "\nExit status: 0 done, 1 refused or damaged (nothing was made), 2 wrong usage.\n";

/// Refuses a database that has something in it; an empty one is removed.
void make_room(const std::filesystem::path& database) {
    if (!std::filesystem::exists(database)) {
        return;
    }
    {
        RocksdbStorage::Options options;
        options.path = database;
        options.read_only = true;
        const RocksdbStorage storage(options);
        if (storage.next_lsn() > 1 || storage.last_key(Table::snapshots, "")) {
            throw StorageError("there is a database with data already: " + database.string() +
                               ". Nothing was changed; give another --directory");
        }
    }
    std::filesystem::remove_all(database);
}

/// YYYY-MM-DD.
std::string day_text(Day day) {
    std::string text = std::to_string(day_to_yyyymmdd(day));
    constexpr std::size_t digits = 8;
    text.insert(0, digits - std::min(digits, text.size()), '0');
    text.insert(6, "-");
    text.insert(4, "-");
    return text;
}

void print(const DirectoryImport& done, std::ostream& out) {
    constexpr int wide = 16;
    for (const SeriesView& view : done.state.series) {
        out << std::setw(wide) << grouped(view.totals().keys) << " keys" << std::setw(wide)
            << grouped(view.totals().buckets) << " points" << std::setw(wide + 4)
            << to_decimal(view.totals().total) << " total  " << cli::quoted(view.name()) << '\n';
    }
    for (const TreeFile& file : done.files) {
        out << "file " << file.path.filename().string() << ", LSN "
            << (file.last_lsn ? std::to_string(*file.last_lsn) : "unknown") << '\n';
    }
    out << "log entries          " << grouped(done.log.entries) << ": " << grouped(done.applied)
        << " applied, " << grouped(done.older) << " in the files already, " << grouped(done.refused)
        << " refused, " << grouped(done.log.repeated) << " repeated\n";
    for (const DirectoryImport::Refused& refused : done.first_refused) {
        out << "  refused at LSN " << refused.lsn << ": " << refused.why << '\n';
    }
    if (done.wal_day) {
        out << "day of the entries   " << day_text(*done.wal_day)
            << (done.is_wal_day_given ? ", by --wal-day\n"
                                      : ", when karma.wal was last changed (--wal-day says another one)\n");
    }
    out << "idempotency records  " << grouped(done.records) << '\n'
        << "committed streams    " << grouped(done.streams) << '\n'
        << "checkpoints          " << grouped(done.state.of<Checkpoints>().checkpoints.size()) << '\n'
        << "last LSN             " << done.state.lsn << '\n'
        << "digest               " << done.digest << '\n';
}

json::object summary(const DirectoryImport& done) {
    json::array series;
    for (const SeriesView& view : done.state.series) {
        series.push_back(json::object{{"series", view.name()},
                                      {"keys", view.totals().keys},
                                      {"points", view.totals().buckets},
                                      {"total", to_decimal(view.totals().total)}});
    }
    json::array refused;
    for (const DirectoryImport::Refused& one : done.first_refused) {
        refused.push_back(json::object{{"lsn", one.lsn}, {"why", one.why}});
    }
    json::array warnings;
    for (const std::string& warning : done.warnings) {
        warnings.emplace_back(warning);
    }
    return {{"series", std::move(series)},
            {"entries", done.log.entries},
            {"applied", done.applied},
            {"older", done.older},
            {"refused", done.refused},
            {"first_refused", std::move(refused)},
            {"repeated", done.log.repeated},
            {"torn", done.log.torn},
            {"wal_day", done.wal_day ? json::value(day_text(*done.wal_day)) : json::value()},
            {"wal_day_given", done.is_wal_day_given},
            {"idempotency_records", done.records},
            {"committed_streams", done.streams},
            {"checkpoints", done.state.of<Checkpoints>().checkpoints.size()},
            {"last_lsn", done.state.lsn},
            {"digest", done.digest},
            {"warnings", std::move(warnings)}};
}

void check_is_directory(const std::string& source) {
    std::error_code failure;
    if (std::filesystem::is_directory(source, failure)) return;
    const bool is_there = std::filesystem::exists(source, failure);
    throw UsageError(cli::quoted(source) + (is_there ? " is no directory" : " does not exist"));
}

struct Source {
    std::filesystem::path directory;
    bool without_manifest = false;
    std::optional<Day> wal_day = std::nullopt;
};

int import(const Source& source, const std::filesystem::path& target, bool as_json, std::ostream& out,
           std::ostream& err) {
    // Before anything is made.
    const Importable importable(source.directory);
    DirectoryImporter importer(source.directory, DirectoryImporter::Keep::all, source.wal_day);
    importer.read();
    if (importable.manifest) {
        check_against(*importable.manifest, importer.read_back());
    } else if (!source.without_manifest) {
        importable.require_whole();
    }
    const DataDirectory directory(target, DataDirectory::Use::import);
    // A running Karma 1.0 holds no lock; one of this version does.
    make_room(directory.database());
    const auto now = std::chrono::system_clock::now().time_since_epoch() / std::chrono::milliseconds(1);
    const DirectoryImport done = importer.store(directory.database(), now);
    for (const std::string& warning : done.warnings) {
        err << "karma import: warning: " << warning << '\n';
    }
    if (as_json) {
        out << json::serialize(summary(done)) << '\n';
    } else {
        print(done, out);
    }
    return exit_success;
}

po::options_description import_directory_options() {
    po::options_description visible("Options");
    visible.add_options()  //
        ("directory", po::value<std::string>()->value_name("TARGET"),
         "where the new database goes: what the daemon will get as --directory (DIR itself)")  //
        ("without-manifest", po::bool_switch(),
         "take files that have neither karma.manifest nor a log of Karma 1.0 for all that there was")  //
        ("wal-day", po::value<std::string>()->value_name("YYYY-MM-DD"),
         "the day of the entries in karma.wal of a Karma 0.1, which do not say it (the UTC day on which the "
         "file was last changed)")  //
        ("json", po::bool_switch(), "print one JSON object");
    return visible;
}

}  // namespace

namespace {

/// Whether what follows an option is its value.
bool takes_value(const std::string& option) {
    if (!option.starts_with("--") || option.find('=') != std::string::npos) return false;
    for (const po::options_description& known : {import_csv_options(), import_directory_options()}) {
        const po::option_description* const found = known.find_nothrow(option.substr(2), false);
        if (found != nullptr) return found->semantic()->max_tokens() != 0;
    }
    return false;
}

}  // namespace

namespace {

/// The first argument of `karma import` that is no option and no option's value; empty where there is none.
std::string source_argument(std::span<const std::string> args) {
    bool is_value = false;
    bool options_end = false;
    for (const std::string& argument : args) {
        const bool is_option = !options_end && !is_value && argument.size() > 1 && argument.starts_with('-');
        if (!is_option && !is_value) return argument;
        options_end = options_end || (is_option && argument == "--");
        is_value = is_option && !options_end && takes_value(argument);
    }
    return {};
}

}  // namespace

bool names_directory(std::span<const std::string> args) {
    const std::string source = source_argument(args);
    std::error_code failure;
    if (std::filesystem::is_directory(source, failure)) return true;
    if (source.empty() || source == "-" || std::filesystem::exists(source, failure)) return false;
    // Where nothing is, what else is said decides.
    const auto is_given = [args](const std::string& option) {
        return std::ranges::any_of(args, [&](const std::string& argument) {
            return argument == option || argument.starts_with(option + "=");
        });
    };
    return source.ends_with('/') || is_given("--directory") || !(is_given("--series") || is_given("--help"));
}

namespace {

std::optional<Day> wal_day_option(const po::variables_map& values) {
    if (values.count("wal-day") == 0) return std::nullopt;
    const std::string text = text_option(values, "wal-day");
    const std::optional<Day> day = day_from_text(text);
    if (!day) throw UsageError("--wal-day " + cli::quoted(text) + ": expected a day such as 2026-05-05");
    return day;
}

}  // namespace

int run_import_directory(std::span<const std::string> args, std::ostream& out, std::ostream& err) {
    const Subcommand subcommand{"import", import_directory_usage, behind_import_directory_options,
                                import_directory_options(), true};
    return run_subcommand(subcommand, args, out, err, [&](const po::variables_map& values) {
        const std::string source = only_argument(values, "DIR");
        check_is_directory(source);
        const std::string target = text_option(values, "directory");
        return import({source, values["without-manifest"].as<bool>(), wal_day_option(values)},
                      target.empty() ? source : target, values["json"].as<bool>(), out, err);
    });
}

}  // namespace karma::cli
