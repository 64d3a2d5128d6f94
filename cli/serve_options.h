#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "net/log.h"
#include "net/server_options.h"
#include "persist/database.h"

namespace karma::cli {

struct ReplicationOptions {
    std::string source_host;  // empty: none
    std::uint16_t source_port = 8080;
    std::string token;  // empty: none
    std::string name;   // of this node among the followers of its master; empty: its host and port
    std::uint32_t poll_interval_ms = 1000;
    std::uint32_t batch_size = 1000;
    std::uint32_t timeout_ms = 15'000;
    std::uint32_t failover_timeout_ms = 0;  // 0: none
    bool failover_unsafe = false;
    std::uint32_t digest_interval_s = 60;  // 0: none
    std::size_t followers_max = 64;
    std::string discard_order;  // empty: none
};

/// The files that tokens are read from; empty where there is none.
struct TokenFiles {
    std::string all;
    std::string read;
    std::string replication;
};

/// Everything that the daemon can be told.
struct ServeOptions {
    DatabaseOptions database;
    net::ServerOptions server;
    ReplicationOptions replication;
    TokenFiles token_files;
    bool group_access = false;
    bool log = true;
    net::LogLevel lowest_log_level = net::LogLevel::info;
    /// What was given and has no effect, or is not safe, a sentence each.
    std::vector<std::string> warnings;

    /// From which level on lines are logged.
    net::LogLevel log_level() const noexcept {
        return log ? lowest_log_level : std::max(lowest_log_level, net::LogLevel::warning);
    }
};

/// Reads an environment variable; null where it is not set.
using Environment = std::function<const char*(const char* name)>;

/// The options of a command line, those not given from the environment, the rest by default. An empty
/// variable counts as unset. Throws UsageError that names the option or the variable.
ServeOptions read_serve_options(std::span<const std::string> arguments, const Environment& environment);

/// Reads the tokens of the files that are named once more. Throws UsageError, and has changed nothing then.
void read_token_files(ServeOptions& options);

/// Whether the arguments ask for help.
bool asks_for_help(std::span<const std::string> arguments);

/// The description of all options, in groups.
void print_serve_help(std::ostream& out);

}  // namespace karma::cli
