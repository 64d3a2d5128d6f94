#include <iostream>
#include <span>
#include <string>
#include <string_view>
#include <sys/stat.h>
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

}  // namespace

int main(int argc, char** argv) {
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
