#include <cerrno>
#include <fcntl.h>
#include <iostream>
#include <span>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "cli/backup.h"
#include "cli/call.h"
#include "cli/command_line.h"
#include "cli/export.h"
#include "cli/health.h"
#include "cli/history.h"
#include "cli/import.h"
#include "cli/ping.h"
#include "cli/promote.h"
#include "cli/reconcile.h"
#include "cli/replay.h"
#include "cli/serve.h"
#include "cli/status.h"
#include "cli/token.h"
#include "cli/verify.h"

namespace {

using namespace karma::cli;

struct Entry {
    const char* name;
    int (*run)(std::span<const std::string>);
};

constexpr Entry entries[] = {
    {"serve", serve_main},   {"call", call_main},           {"import", import_main},
    {"export", export_main}, {"reconcile", reconcile_main}, {"history", history_main},
    {"verify", verify_main}, {"replay", replay_main},       {"promote", promote_main},
    {"ping", ping_main},     {"health", health_main},       {"backup", backup_main},
    {"status", status_main},
};

int run(std::string_view name, std::span<const std::string> arguments) {
    for (const Entry& entry : entries) {
        if (name == entry.name) return entry.run(arguments);
    }
    std::cerr << "karma: unknown subcommand \"" << name << "\" (karma --help lists them)\n";
    return exit_usage;
}

/// `karma help [SUBCOMMAND]`
int help(std::span<const std::string> arguments) {
    if (arguments.size() > 1) {
        std::cerr << "karma help: only one subcommand can be named\n";
        return exit_usage;
    }
    static const std::string option = "--help";
    return run(arguments.empty() ? "serve" : arguments.front(), std::span(&option, 1));
}

/// Standard input, output and error, where they are closed: the next file that is opened would get the
/// number, and what is printed would land in it. False when that cannot be prevented.
bool occupy_standard_files() {
    for (const int file : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        const bool is_closed = ::fcntl(file, F_GETFD) < 0 && errno == EBADF;
        // The lowest free number is given, and those below are taken.
        if (is_closed && ::open("/dev/null", file == STDIN_FILENO ? O_RDONLY : O_WRONLY) != file) {
            return false;
        }
    }
    return true;
}

}  // namespace

int main(int argc, char** argv) {
    if (!occupy_standard_files()) return exit_failure;
    const std::vector<std::string> all(argv + 1, argv + argc);
    hide_tokens(argc, argv);
    ::umask(0077);  // what is written is nobody else's business
    const std::span<const std::string> arguments(all);
    const std::string first = all.empty() ? "" : all.front();
    if (first == "--version" || first == "version") {
        std::cout << "karma " KARMA_VERSION "\n";
        return exit_success;
    }
    if (first.empty() || first.starts_with('-')) {
        return serve_main(arguments);
    }
    if (first == "help") {
        return help(arguments.subspan(1));
    }
    return run(first, arguments.subspan(1));
}
