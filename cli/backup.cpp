#include "cli/backup.h"

#include <chrono>
#include <iomanip>
#include <iostream>
#include <string>
#include <string_view>
#include <sys/file.h>
#include <system_error>
#include <unistd.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/program_options/value_semantic.hpp>

#include "cli/client_options.h"
#include "cli/daemon_export.h"
#include "cli/export_check.h"
#include "cli/subcommand.h"
#include "cli/text.h"
#include "engine/storage.h"
#include "engine/timestamp.h"
#include "persist/open_file.h"
#include "persist/sync_directory.h"

namespace karma::cli {

namespace json = boost::json;
namespace po = boost::program_options;

namespace {

constexpr const char* backup_usage =
    "Usage: karma backup [options] DIR\n"
    "\n"
    "Makes a whole copy of a running daemon in DIR, which must not exist or be empty: all series, "
    "idempotency\n"
    "records, committed streams and checkpoints, as of one LSN. All of it is read back and compared before\n"
    "DIR gets its name. karma import DIR makes a database of it, karma verify DIR checks it again.\n";

constexpr const char* behind_backup_options =
    "\nExit status: 0 the backup is there and whole, 1 there is none, 2 wrong usage, 3 no connection.\n";

po::options_description backup_options() {
    po::options_description what("What and how");
    what.add_options()  //
        ("dated", po::bool_switch(),
         "into a new directory DIR/<time in UTC>, such as DIR/20261121T093000Z")  //
        ("json", po::bool_switch(), "print one JSON object");
    po::options_description all;
    all.add(what).add(client_options_description());
    return all;
}

/// 20261121T093000Z.
std::string time_name() {
    const auto now = std::chrono::system_clock::now().time_since_epoch() / std::chrono::milliseconds(1);
    std::string name;
    for (const char c : rfc3339_from_unix_ms(now - now % 1000)) {
        if (c == '.') break;
        if (c != '-' && c != ':' && c != 'Z') name.push_back(c);
    }
    return name + "Z";
}

constexpr std::string_view part_suffix = ".part-";

bool consists_of(std::string_view text, std::string_view characters) {
    return !text.empty() && text.find_first_not_of(characters) == std::string_view::npos;
}

/// The name of a directory in which a backup with this name is being made, or with any name of `time_name`.
bool is_part_of(std::string_view directory, std::string_view name, bool is_dated) {
    constexpr std::string_view digits = "0123456789";
    const std::size_t at = directory.rfind(part_suffix);
    if (at == std::string_view::npos || !consists_of(directory.substr(at + part_suffix.size()), digits)) {
        return false;
    }
    const std::string_view of = directory.substr(0, at);
    return of == name || (is_dated && of.size() == name.size() && consists_of(of, "0123456789TZ"));
}

/// A directory that no other process holds, so that none takes it for abandoned.
class HeldDirectory {
public:
    explicit HeldDirectory(const std::filesystem::path& path) : file_(path.string(), O_DIRECTORY) {
        is_held_ = file_.number() >= 0 && ::flock(file_.number(), LOCK_EX | LOCK_NB) == 0;
    }
    bool is_held() const noexcept { return is_held_; }

private:
    OpenFile file_;
    bool is_held_ = false;
};

/// What backups to the same place have left that were killed: nobody will go on with it.
void remove_abandoned(const std::filesystem::path& name, bool is_dated, std::ostream& err) {
    std::error_code failure;
    const std::filesystem::path parent = std::filesystem::absolute(name).parent_path();
    for (const auto& entry : std::filesystem::directory_iterator(parent, failure)) {
        const std::filesystem::path& path = entry.path();
        if (entry.is_symlink(failure) || !entry.is_directory(failure) ||
            !is_part_of(path.filename().string(), name.filename().string(), is_dated)) {
            continue;
        }
        if (const HeldDirectory held(path); !held.is_held()) {
            continue;  // a backup is being made there
        }
        std::filesystem::remove_all(path, failure);
        err << "karma backup: " << (failure ? "cannot remove " : "removed ") << path.string()
            << ", the unfinished copy of a backup that was ended"
            << (failure ? ": " + failure.message() : std::string()) << '\n';
    }
}

/// Creates the directory in which a backup is made.
std::filesystem::path make_part(const std::filesystem::path& path) {
    std::error_code failure;
    std::filesystem::create_directories(path.parent_path(), failure);
    if (!std::filesystem::create_directory(path, failure)) {
        throw StorageError("cannot make " + path.string() + ": " +
                           (failure ? failure.message() : "another backup is being made there"));
    }
    return path;
}

/// A directory that is removed with what is in it unless it gets its name.
class UnfinishedDirectory {
public:
    explicit UnfinishedDirectory(std::filesystem::path name)
        : name_(std::move(name)),
          path_(make_part(name_.string() + std::string(part_suffix) + std::to_string(::getpid()))),
          held_(path_),
          directory_(path_) {
        if (!held_.is_held()) {
            throw StorageError("another backup is being made in " + path_.string());
        }
    }
    UnfinishedDirectory(const UnfinishedDirectory&) = delete;
    UnfinishedDirectory& operator=(const UnfinishedDirectory&) = delete;
    ~UnfinishedDirectory() {
        if (!is_named_) {
            std::error_code failure;
            std::filesystem::remove_all(path_, failure);
        }
    }

    ExportDirectory& files() noexcept { return directory_; }

    /// Takes the place of an empty directory. Throws StorageError.
    void give_name() {
        std::error_code failure;
        std::filesystem::rename(path_, name_, failure);
        if (failure) {
            throw StorageError("cannot rename " + path_.string() + " to " + name_.string() + ": " +
                               failure.message());
        }
        is_named_ = true;
        const std::filesystem::path parent = std::filesystem::absolute(name_).parent_path();
        failure = sync_directory(parent);
        if (failure) throw StorageError("cannot sync " + parent.string() + ": " + failure.message());
    }

private:
    std::filesystem::path name_;
    std::filesystem::path path_;
    HeldDirectory held_;
    ExportDirectory directory_;
    bool is_named_ = false;
};

void require_free(const std::filesystem::path& name) {
    if (std::filesystem::exists(std::filesystem::symlink_status(name)) &&
        !(std::filesystem::is_directory(name) && std::filesystem::is_empty(name))) {
        throw StorageError(name.string() + " is there already and not an empty directory");
    }
}

/// Without a slash at its end, which the temporary name would follow.
std::filesystem::path target_of(const po::variables_map& values) {
    std::filesystem::path target = only_argument(values, "DIR");
    if (!target.has_filename()) target = target.parent_path();
    if (values["dated"].as<bool>()) target /= time_name();
    return target;
}

void print(const std::filesystem::path& directory, const ExportManifest& manifest, bool as_json,
           std::ostream& out) {
    if (as_json) {
        out << json::serialize(json::object{{"directory", directory.string()},
                                            {"series", manifest.series},
                                            {"lsn", manifest.lsn},
                                            {"digest", manifest.digest},
                                            {"bytes", manifest.bytes()},
                                            {"files", manifest.files.size()},
                                            {"database_id", manifest.database_id.text()},
                                            {"verified", true}})
            << '\n';
        return;
    }
    const auto line = [&](const char* name) -> std::ostream& {
        return out << std::left << std::setw(14) << name;
    };
    line("directory") << directory.string() << '\n';
    line("series") << grouped(manifest.series) << '\n';
    line("LSN") << manifest.lsn << '\n';
    line("digest") << manifest.digest << '\n';
    line("bytes") << grouped(manifest.bytes()) << " in " << counted(manifest.files.size(), "file") << '\n';
    line("database id") << manifest.database_id.text() << '\n';
    line("result") << "whole, read back and verified\n";
}

int backup(const po::variables_map& values, std::ostream& out, std::ostream& err) {
    const std::filesystem::path target = target_of(values);
    const ClientOptions client = read_client_options(values);
    require_free(target);
    remove_abandoned(target, values["dated"].as<bool>(), err);
    UnfinishedDirectory made(target);
    const Exported exported = export_from_daemon(client, made.files(), ExportFormat::tree, "", true);
    if (!exported.has_idempotency_keys) {
        throw StorageError(
            "the token may only read, so the daemon does not show idempotency records, and a backup without "
            "them is not whole: use a token that may write, or karma export");
    }
    (void)finish_export(made.files(), exported, ExportFormat::tree, "");
    const ExportManifest manifest = checked_export(made.files().path()).value();
    made.give_name();
    print(target, manifest, values["json"].as<bool>(), out);
    return exit_success;
}

}  // namespace

int run_backup(std::span<const std::string> args, std::ostream& out, std::ostream& err) {
    const Subcommand subcommand{"backup", backup_usage, behind_backup_options, backup_options(), true};
    return run_subcommand(subcommand, args, out, err,
                          [&](const po::variables_map& values) { return backup(values, out, err); });
}

int backup_main(std::span<const std::string> args) { return run_backup(args, std::cout, std::cerr); }

}  // namespace karma::cli
