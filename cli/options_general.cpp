#include "cli/option_table.h"
#include "cli/option_values.h"

namespace karma::cli {

namespace {

OptionSection general_section() {
    return {"General",
            "",
            {
                {.name = "bind",
                 .short_name = 'b',
                 .variable = "KARMA_HOST",
                 .argument = "ADDRESS",
                 .value = text(
                     [](auto& o) -> auto& { return o.server.address; }, "an address"),
                 .help = "address on which the daemon listens"},
                {.name = "port",
                 .short_name = 'p',
                 .variable = "KARMA_PORT",
                 .argument = "PORT",
                 .value = whole_number(
                     [](auto& o) -> auto& { return o.server.port; }, 0, 65'535),
                 .help = "port on which it listens, 0 for any free one"},
                {.name = "directory",
                 .short_name = 'd',
                 .variable = "KARMA_DUMP_DIR",
                 .argument = "DIR",
                 .value = text(
                     [](auto& o) -> auto& { return o.database.directory; }, "a directory"),
                 .help = "directory of the data"},
                {.name = "storage",
                 .variable = "KARMA_STORAGE",
                 .argument = "KIND",
                 .value = choice(
                     [](auto& o) -> auto& { return o.database.storage; }, "rocksdb or memory",
                     Words<StorageKind>{{"rocksdb", StorageKind::rocksdb}, {"memory", StorageKind::memory}}),
                 .help = "rocksdb: on disk; memory: gone when the daemon ends"},
                {.name = "threads",
                 .variable = "KARMA_THREADS",
                 .argument = "N",
                 .value = whole_number(
                     [](auto& o) -> auto& { return o.server.threads; }, 1, 256),
                 .help = "threads that serve connections",
                 .default_text = "half the cores"},
                {.name = "role",
                 .variable = "KARMA_ROLE",
                 .argument = "ROLE",
                 .value = choice(
                     [](auto& o) -> auto& { return o.database.read_only; },
                     "master, or slave (follower means the same)",
                     Words<bool>{{"master", false}, {"slave", true}, {"follower", true}}),
                 .help = "master, or slave: a follower, which answers queries only"},
                {.name = "restore",
                 .short_name = 'r',
                 .variable = "KARMA_RESTORE",
                 .argument = "BOOL",
                 .value = boolean([](auto& o) -> auto& { return o.database.restore; }),
                 .help = "restore the state at the start; false starts empty and renames an existing "
                         "database, unchanged"},
                {.name = "nodelay",
                 .short_name = 'n',
                 .variable = "KARMA_TCP_NODELAY",
                 .argument = "BOOL",
                 .value = boolean([](auto& o) -> auto& { return o.server.nodelay; }),
                 .help = "set TCP_NODELAY on connections"},
            }};
}

OptionSection file_section() {
    return {"Configuration file",
            "",
            {
                {.name = "config",
                 .variable = "KARMA_CONFIG",
                 .argument = "FILE",
                 .value = text(
                     [](auto& o) -> auto& { return o.config_file; }, "the name of a file"),
                 .help = "TOML configuration file; the command line and the environment take "
                         "precedence over it. Without this option: karma.toml in the working "
                         "directory, if there is one",
                 .is_reloaded = true,
                 .is_in_file = false},
            }};
}

OptionSection log_section() {
    using net::LogLevel;
    return {"Log",
            "log",
            {
                {.name = "log",
                 .variable = "KARMA_LOG",
                 .argument = "BOOL",
                 .value = boolean([](auto& o) -> auto& { return o.log; }),
                 .help = "log one JSON object a line on standard output; warnings and errors always go to "
                         "standard error",
                 .is_reloaded = true},
                {.name = "log-level",
                 .variable = "KARMA_LOG_LEVEL",
                 .argument = "LEVEL",
                 .value = choice(
                     [](auto& o) -> auto& { return o.lowest_log_level; }, "debug, info, warning or error",
                     Words<LogLevel>{{"debug", LogLevel::debug},
                                     {"info", LogLevel::info},
                                     {"warning", LogLevel::warning},
                                     {"error", LogLevel::error}}),
                 .help = "the lowest level that is logged: debug (with two lines for each "
                         "connection), info, warning or error",
                 .is_reloaded = true},
            }};
}

}  // namespace

std::vector<OptionSection> general_option_sections() {
    return {general_section(), file_section(), log_section()};
}

}  // namespace karma::cli
