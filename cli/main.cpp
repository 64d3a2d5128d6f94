#include <iostream>
#include <span>
#include <string>
#include <vector>

#include "cli/call.h"
#include "cli/command_line.h"
#include "cli/export.h"
#include "cli/history.h"
#include "cli/import.h"
#include "cli/reconcile.h"
#include "cli/replay.h"
#include "cli/serve.h"
#include "cli/verify.h"

int main(int argc, char** argv) {
    using namespace karma::cli;
    const std::vector<std::string> all(argv + 1, argv + argc);
    const std::span<const std::string> arguments(all);
    const std::string first = all.empty() ? "" : all.front();
    if (first == "--version" || first == "version") {
        std::cout << "karma " KARMA_VERSION "\n";
        return exit_success;
    }
    if (first.empty() || first.starts_with('-')) {
        return serve_main(arguments);
    }
    if (first == "serve") {
        return serve_main(arguments.subspan(1));
    }
    if (first == "call") {
        return call_main(arguments.subspan(1));
    }
    if (first == "import") {
        return import_main(arguments.subspan(1));
    }
    if (first == "reconcile") {
        return reconcile_main(arguments.subspan(1));
    }
    if (first == "verify") {
        return verify_main(arguments.subspan(1));
    }
    if (first == "replay") {
        return replay_main(arguments.subspan(1));
    }
    if (first == "export") {
        return export_main(arguments.subspan(1));
    }
    if (first == "history") {
        return history_main(arguments.subspan(1));
    }
    std::cerr << "karma: unknown subcommand \"" << first << "\" (karma --help lists them)\n";
    return exit_usage;
}
