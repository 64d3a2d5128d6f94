#include "cli/verify.h"

#include <chrono>
#include <iomanip>
#include <iostream>
#include <optional>
#include <unistd.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <boost/program_options/value_semantic.hpp>

#include "cli/export_check.h"
#include "cli/input_file.h"
#include "cli/karma1/files.h"
#include "cli/subcommand.h"
#include "cli/text.h"
#include "engine/error.h"
#include "persist/stored_database.h"
#include "persist/verifier.h"

namespace karma::cli {

namespace json = boost::json;
namespace po = boost::program_options;

namespace {

constexpr const char* verify_usage =
    "Usage: karma verify [options] DIR\n"
    "\n"
    "Reads everything back that a stopped daemon has stored in its directory, changes nothing, and proves\n"
    "that snapshots and log are whole and give one state. (A running daemon: karma call snapshot.verify.)\n"
    "DIR may also be what karma export or karma backup has written: its files are compared with its\n"
    "manifest, and read back.\n";

constexpr const char* behind_verify_options =
    "\nExit status: 0 sound, 1 damaged (each damage is a line), 2 wrong usage or no database that can "
    "be\nopened.\n";

constexpr int exit_unopened = 2;

void print(const Verification& found, double seconds, std::ostream& out) {
    const auto line = [&](const char* name) -> std::ostream& {
        return out << std::left << std::setw(22) << name;
    };
    line("snapshots") << grouped(found.snapshots) << ", of " << counted(found.snapshot_series, "series file")
                      << "; " << counted(found.pages, "page") << ", " << grouped(found.page_bytes)
                      << " bytes\n";
    line("events") << grouped(found.events) << " in " << counted(found.groups, "group") << ", "
                   << grouped(found.log_bytes) << " bytes, from LSN " << found.first_lsn << '\n';
    line("idempotency records") << grouped(found.idempotency_records) << '\n';
    line("committed streams") << grouped(found.committed_streams) << '\n';
    line("state") << found.series << " series, " << counted(found.keys, "key") << ", LSN " << found.last_lsn
                  << ", rebuilt in " << counted(found.rebuilt, "way") << '\n';
    line("digest") << found.digest << '\n';
    line("seconds") << std::fixed << std::setprecision(2) << seconds << '\n';
    line("result") << (found.is_sound() ? "sound" : "DAMAGED") << '\n';
}

json::object summary(const Verification& found, double seconds) {
    json::array damage;
    for (const std::string& one : found.damage) {
        damage.emplace_back(one);
    }
    return {{"sound", found.is_sound()},
            {"snapshots", found.snapshots},
            {"snapshot_series", found.snapshot_series},
            {"pages", found.pages},
            {"page_bytes", found.page_bytes},
            {"groups", found.groups},
            {"events", found.events},
            {"log_bytes", found.log_bytes},
            {"first_lsn", found.first_lsn},
            {"last_lsn", found.last_lsn},
            {"idempotency_records", found.idempotency_records},
            {"committed_streams", found.committed_streams},
            {"rebuilt", found.rebuilt},
            {"series", found.series},
            {"keys", found.keys},
            {"digest", found.digest},
            {"seconds", seconds},
            {"damage", std::move(damage)}};
}

/// Where nothing can be read at all.
int print_unreadable(const std::string& damage, bool as_json, std::ostream& out) {
    if (as_json) {
        out << json::serialize(json::object{{"sound", false}, {"damage", json::array{json::value(damage)}}})
            << '\n';
    } else {
        out << "damage: " << damage << "\nresult                DAMAGED\n";
    }
    return exit_failure;
}

/// Reads an export back, and compares it with its manifest.
int verify_export(const std::string& directory, bool as_json, std::ostream& out) {
    std::optional<ExportManifest> manifest;
    ReadBack found;
    try {
        manifest = checked_export(directory);
        found.series = manifest.value().series;
        if (manifest->format == "tree") {
            found = read_back(directory);
        }
        check_against(*manifest, found);
    } catch (const CorruptionError& damage) {
        return print_unreadable(damage.what(), as_json, out);
    } catch (const InputError& damage) {
        return print_unreadable(damage.what(), as_json, out);
    }
    const std::string id = manifest->database_id.is_known() ? manifest->database_id.text() : "not known";
    if (as_json) {
        out << json::serialize(json::object{{"sound", true},
                                            {"export", manifest->format},
                                            {"files", manifest->files.size()},
                                            {"bytes", manifest->bytes()},
                                            {"series", found.series},
                                            {"keys", found.keys},
                                            {"idempotency_records", found.records},
                                            {"committed_streams", found.streams},
                                            {"last_lsn", manifest->lsn},
                                            {"digest", found.digest},
                                            {"database_id", id},
                                            {"damage", json::array{}}})
            << '\n';
        return exit_success;
    }
    const auto line = [&](const char* name) -> std::ostream& {
        return out << std::left << std::setw(22) << name;
    };
    line("export") << counted(manifest->files.size(), "file") << ", " << grouped(manifest->bytes())
                   << " bytes, as " << manifest->format << '\n';
    line("state") << found.series << " series, LSN " << manifest->lsn << '\n';
    if (!found.digest.empty()) {
        line("digest") << found.digest << '\n';
    }
    line("database id") << id << '\n';
    line("result") << "sound\n";
    return exit_success;
}

/// Whether a directory is an export, and no data directory.
bool is_export(const std::filesystem::path& directory) {
    return std::filesystem::exists(directory / export_manifest_name) &&
           !std::filesystem::exists(directory / "karma.db");
}

/// Refuses a directory of files without a database, and says what they are. Throws InputError.
void refuse_files(const std::filesystem::path& directory) {
    std::error_code failure;
    if (std::filesystem::is_directory(directory / "karma.db", failure) ||
        !std::filesystem::is_directory(directory, failure) || !has_karma1_files(directory)) {
        return;
    }
    Importable(directory).require_whole();
    throw InputError(directory.string() +
                     " holds files of Karma 1.0 and no database: karma import reads them and checks each");
}

int verify(const std::string& directory, bool as_json, std::ostream& out, std::ostream& err, bool progress) {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point begin = Clock::now();
    if (is_export(directory)) {
        return verify_export(directory, as_json, out);
    }
    refuse_files(directory);
    std::optional<StoredDatabase> opened;
    try {
        opened.emplace(directory);
    } catch (const CorruptionError& failure) {
        return print_unreadable(failure.what(), as_json, out);
    }
    const StoredDatabase& stored = *opened;
    int shown = -1;
    Verifier verifier(stored.storage(), stored.snapshots(), stored.hash_seed(), [&](double done) {
        const int percent = static_cast<int>(done * 100);
        if (progress && percent != shown) {
            shown = percent;
            err << "\rverified " << percent << " %" << (percent == 100 ? "\n" : "") << std::flush;
        }
    });
    Verification found = verifier.run();
    found.damage.insert(found.damage.begin(), stored.damage().begin(), stored.damage().end());
    const Lsn sound_until = found.is_sound() ? found.last_lsn : stored.sound_until();
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    if (as_json) {
        json::object all = summary(found, seconds);
        all["warnings"] = stored.doubt().empty() ? json::array() : json::array{json::value(stored.doubt())};
        all["sound_until_lsn"] = sound_until;
        out << json::serialize(all) << '\n';
    } else {
        for (const std::string& damage : found.damage) {
            out << "damage: " << damage << '\n';
        }
        print(found, seconds, out);
        if (!stored.doubt().empty()) {
            out << "warning: " << stored.doubt() << '\n';
        }
        if (!found.is_sound() && sound_until != 0) {
            out << std::left << std::setw(22) << "sound up to"
                << "LSN " << sound_until << ": karma replay DIR --until LSN takes it\n";
        }
    }
    return found.is_sound() ? exit_success : exit_failure;
}

}  // namespace

int run_verify(std::span<const std::string> args, std::ostream& out, std::ostream& err, bool progress) {
    po::options_description options("Options");
    options.add_options()("json", po::bool_switch(), "print one JSON object");
    const Subcommand subcommand{"verify", verify_usage, behind_verify_options, options, true, exit_unopened};
    return run_subcommand(subcommand, args, out, err, [&](const po::variables_map& values) {
        return verify(only_argument(values, "DIR"), values["json"].as<bool>(), out, err, progress);
    });
}

int verify_main(std::span<const std::string> args) {
    return run_verify(args, std::cout, std::cerr, ::isatty(STDERR_FILENO) == 1);
}

}  // namespace karma::cli
