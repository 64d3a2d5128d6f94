#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "net/log.h"
#include "net/server_options.h"
#include "persist/database.h"
#include "replica/follower.h"
#include "replica/source.h"

namespace karma::cli {

/// The files that tokens are read from; empty where there is none.
struct TokenFiles {
    std::string all;
    std::string read;
    std::string replication;
};

/// Everything that the daemon can be told. Defaults stand where the members are declared; those that depend
/// on the machine are put in by default_serve_options.
struct ServeOptions {
    DatabaseOptions database;
    net::ServerOptions server;
    replica::SourceOptions source;      // for the followers of this node
    replica::FollowerOptions follower;  // without a host it follows nobody
    bool failover_unsafe = false;       // see replica::NodeOptions
    TokenFiles token_files;
    std::string config_file;  // that was read; empty: none
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

/// The options of a daemon that was told nothing on this machine.
ServeOptions default_serve_options();

/// The options of a command line, those not given from the environment, then from the configuration file, the
/// rest by default. An empty variable counts as unset. Throws UsageError that names the option, the variable,
/// or the line of the file.
ServeOptions read_serve_options(std::span<const std::string> arguments, const Environment& environment);

/// Reads the tokens of the files that are named once more. Throws UsageError, and has changed nothing then.
void read_token_files(ServeOptions& options);

/// What is asked of `karma serve` beside serving.
enum class ServeRequest : std::uint8_t { serve, help, reference, print_config, check_config };

ServeRequest serve_request(std::span<const std::string> arguments);

}  // namespace karma::cli
