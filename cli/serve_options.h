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

/// A token of the configuration file, in the text of it or in a file of its own.
struct TokenEntry {
    net::NamedToken token;
    std::string file;    // empty: none
    std::string source;  // "karma.toml:12: [[token]]"
};

/// All options of the daemon. The defaults are those of the members; default_serve_options sets those that
/// depend on the machine.
struct ServeOptions {
    DatabaseOptions database;
    net::ServerOptions server;
    replica::SourceOptions source;      // for the followers of this node
    replica::FollowerOptions follower;  // without a host it follows nobody
    bool failover_unsafe = false;       // see replica::NodeOptions
    bool replication_tls = false;       // other nodes are reached over TLS
    net::TlsFiles replication_tls_files;
    TokenFiles token_files;
    std::vector<TokenEntry> tokens;  // beside those of `server`, which gets them when their files are read
    std::string config_file;         // that was read; empty: none
    bool group_access = false;
    bool log = true;
    net::LogLevel lowest_log_level = net::LogLevel::info;
    /// Warnings about options without effect or that are not safe, a sentence each.
    std::vector<std::string> warnings;

    /// From which level on lines are logged.
    net::LogLevel log_level() const noexcept {
        return log ? lowest_log_level : std::max(lowest_log_level, net::LogLevel::warning);
    }
};

/// Reads an environment variable; null where it is not set.
using Environment = std::function<const char*(const char* name)>;

/// The default options on this machine.
ServeOptions default_serve_options();

/// The options of a command line, those not given from the environment, then from the configuration file, the
/// rest by default. An empty variable counts as unset. Throws UsageError that names the option, the variable,
/// or the line of the file.
ServeOptions read_serve_options(std::span<const std::string> arguments, const Environment& environment);

/// Throws UsageError if certificates are missing, or given without use.
void check_tls(ServeOptions& options);

/// The options that differ and have an effect only after a restart: "--port".
std::vector<std::string> options_to_restart_for(const ServeOptions& before, const ServeOptions& now);

/// What `karma serve` does in place of serving.
enum class ServeRequest : std::uint8_t { serve, help, reference, print_config, check_config };

ServeRequest serve_request(std::span<const std::string> arguments);

}  // namespace karma::cli
