#include "cli/serve.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <iterator>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/host_name.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/json/value_from.hpp>

#include "cli/command_line.h"
#include "cli/option_text.h"
#include "cli/serve_options.h"
#include "cli/unknown_variables.h"
#include "engine/error.h"
#include "engine/scan.h"
#include "net/log.h"
#include "net/log_writer.h"
#include "net/machine.h"
#include "net/server.h"
#include "persist/statistics.h"
#include "replica/node.h"
#include "replica/promises.h"

namespace karma::cli {
namespace {

/// Each connection is an open file: no more of them than storage, followers and administrators leave.
void limit_connections(net::ServerOptions& server, std::size_t followers_max, std::size_t files_max,
                       net::Log& log) {
    const std::size_t possible = net::connection_files(files_max, net::open_files(), followers_max);
    if (server.connections_max > possible) {
        log.warning("max_connections_lowered",
                    {{"asked_for", std::uint64_t{server.connections_max}},
                     {"max_connections", std::uint64_t{possible}},
                     {"open_files", std::uint64_t{files_max}},
                     {"message", "the limit of open files allows no more: raise it (ulimit -n)"}});
    }
    server.connections_max =
        server.connections_max == 0 ? possible : std::min(server.connections_max, possible);
}

/// Each follower takes files, too: no more of them than have theirs.
void limit_followers(replica::NodeOptions& replication, std::size_t files_max, net::Log& log) {
    std::size_t& followers_max = replication.source.followers_max;
    const std::size_t possible = net::follower_places(files_max, followers_max);
    if (followers_max > possible) {
        log.warning("followers_max_lowered",
                    {{"asked_for", std::uint64_t{followers_max}},
                     {"replication_followers_max", std::uint64_t{possible}},
                     {"open_files", std::uint64_t{files_max}},
                     {"message", "the limit of open files allows no more: raise it (ulimit -n)"}});
    }
    followers_max = possible;
}

bool is_loopback(const std::string& address) {
    boost::system::error_code failure;
    const auto parsed = boost::asio::ip::make_address(address, failure);
    return failure ? address == "localhost" : parsed.is_loopback();
}

/// Where other machines get in, unless a certificate is asked for.
std::vector<std::string> open_addresses(const net::ServerOptions& server) {
    std::vector<std::string> open;
    if ((server.port != 0 || server.listen.empty()) && !is_loopback(server.address)) {
        open.push_back(server.address);
    }
    for (const net::EndpointUrl& url : server.listen) {
        const bool is_guarded = url.transport == net::Transport::unix_socket ||
                                (url.transport == net::Transport::tls && !server.tls.authorities.empty());
        if (!is_guarded && !is_loopback(url.host)) {
            open.push_back(net::url_text(url));
        }
    }
    return open;
}

void warn(const ServeOptions& options, net::Log& log) {
    const bool open = options.server.token_set().is_open();
    for (const std::string& address : open ? open_addresses(options.server) : std::vector<std::string>()) {
        log.warning("open_to_the_network",
                    {{"bind", address},
                     {"message",
                      "everyone who reaches this address may read and write: set --auth-token, or --bind "
                      "a loopback address"}});
    }
    if (!options.follower.host.empty() && !options.database.read_only) {
        log.warning("follows_nobody",
                    {{"message", "--replication-source-host has no effect without --role=slave"}});
    }
}

/// Whether others can come to a directory: none of those above it is closed to them.
bool is_reachable(const std::filesystem::path& path) {
    std::error_code failure;
    for (std::filesystem::path at = std::filesystem::absolute(path, failure).lexically_normal();
         !failure && at.has_relative_path(); at = at.parent_path()) {
        struct stat status {};
        if (::stat(at.parent_path().c_str(), &status) == 0 && (status.st_mode & 0011U) == 0) {
            return false;
        }
    }
    return true;
}

/// What others on this machine may see or do.
void warn_of_exposure(const ServeOptions& options, net::Log& log) {
    for (const std::string& warning : options.warnings) {
        log.warning("option", {{"message", warning}});
    }
    if (::geteuid() == 0) {
        log.info("runs_as_root",
                 {{"message", "a mistake in the daemon has the whole machine: give it a user of its own"}});
    }
    if (options.database.storage != StorageKind::rocksdb) {
        return;
    }
    const mode_t allowed = options.group_access ? 0750 : 0700;
    for (const auto& path : {options.database.directory, options.database.directory / "karma.db"}) {
        struct stat status {};
        if (::stat(path.c_str(), &status) == 0 && (status.st_mode & 0777U & ~allowed) != 0 &&
            is_reachable(path)) {
            log.warning("open_directory",
                        {{"path", path.string()},
                         {"message",
                          "others on this machine may read the data: chmod -R go-rwx takes that "
                          "from them (g=rX with --group-access=true)"}});
        }
    }
}

/// What this node is called among the followers of its master unless it is told.
std::string own_name(std::uint16_t port) {
    boost::system::error_code failure;
    const std::string host = boost::asio::ip::host_name(failure);
    return (failure ? "localhost" : host) + ":" + std::to_string(port);
}

std::string database_id_text(const Database& database) {
    const DatabaseId id = database.database_id();
    return id.is_known() ? id.text() : "not known before the first state of the master";
}

replica::NodeOptions node_options(const ServeOptions& options) {
    replica::NodeOptions node;
    node.source = options.source;
    node.source.min_acks = options.database.replication_min_acks;
    if (!options.follower.host.empty() && options.database.read_only) {
        node.follower = options.follower;
        node.follower->directory = options.database.directory;
        node.follower->timeout = options.source.timeout;  // one option for both directions
    }
    node.failover_unsafe = options.failover_unsafe;
    // Nodes of one database have the tokens of one database, whatever role they are in.
    node.peer_token = options.follower.token.empty() ? options.server.auth_token : options.follower.token;
    return node;
}

/// How other nodes are reached.
std::unique_ptr<replica::Network> network_of(const ServeOptions& options) {
    return replica::network_over(
        options.replication_tls ? net::TlsContext::for_client(options.replication_tls_files) : nullptr);
}

/// The port on which other nodes reach this one, as far as the options say it.
std::uint16_t configured_replication_port(const ServeOptions& options) {
    const auto over_tls =
        std::ranges::find(options.server.listen, net::Transport::tls, &net::EndpointUrl::transport);
    return options.replication_tls && over_tls != options.server.listen.end() ? over_tls->port
                                                                              : options.server.port;
}

/// The same, as it is in force.
std::uint16_t replication_port(const ServeOptions& options, const net::Server& server) {
    return server.port(options.replication_tls ? net::Transport::tls : net::Transport::tcp);
}

/// A failover that could never be decided is refused while somebody looks.
void check_failover(const Database& database, replica::NodeOptions options, std::uint16_t port,
                    replica::Network& network) {
    if (!options.follower || options.follower->failover_timeout.count() == 0 || options.failover_unsafe ||
        database.role() != Role::slave) {
        return;
    }
    if (options.follower->name.empty()) {
        options.follower->name = own_name(port);
    }
    if (const std::string why = replica::failover_refusal(options, network); !why.empty()) {
        throw UsageError("--failover-timeout-ms: " + why +
                         ". Start the master with --replication-min-acks=1, or another follower before this "
                         "one; or accept that with --failover-unsafe=true");
    }
}

/// The signals that the daemon takes.
sigset_t taken_signals() {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGHUP}) {
        ::sigaddset(&set, signal);
    }
    return set;
}

/// Keeps them until somebody waits for them: while the state is restored none ends the daemon or is lost.
void hold_signals() {
    const sigset_t set = taken_signals();
    ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

/// Whether a signal is kept that ends the daemon.
bool is_stop_pending() {
    sigset_t pending;
    return ::sigpending(&pending) == 0 &&
           (::sigismember(&pending, SIGINT) == 1 || ::sigismember(&pending, SIGTERM) == 1);
}

void release_signals() {
    const sigset_t set = taken_signals();
    ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

/// Reads the options of the start once more. Throws UsageError.
using ReadOptions = std::function<ServeOptions()>;

/// Waits for signals while the server runs.
class Supervisor {
public:
    /// From here on signals are kept for `run`, so that none is lost while the server starts.
    Supervisor(Database& database, net::Log& log, const ServeOptions& options,
               const ReadOptions& read_options)
        : database_(database),
          log_(log),
          options_(options),
          read_options_(read_options),
          signals_(context_, SIGINT, SIGTERM, SIGUSR1) {
        signals_.add(SIGHUP);
    }

    /// Returns when the server has ended.
    void run(net::Server& server) {
        server_ = &server;
        wait();
        release_signals();
        context_.run();
        snapshots_.join();
    }

    /// The signal that ended it.
    int stopped_by() const noexcept { return stopped_by_; }

private:
    void wait() {
        signals_.async_wait([this](const boost::system::error_code& failure, int signal) {
            if (!failure) {
                on_signal(signal);
            }
        });
    }

    void on_signal(int signal) {
        if (signal == SIGUSR1) {
            boost::asio::post(snapshots_, [this] { save_snapshot(); });
            wait();
            return;
        }
        if (signal == SIGHUP) {
            reload();
            wait();
            return;
        }
        if (stopping_) {
            std::_Exit(128 + signal);  // asked twice: at once
        }
        stopping_ = true;
        stopped_by_ = signal;
        log_.info("stopping", {{"signal", signal == SIGINT ? "SIGINT" : "SIGTERM"}});
        database_.wind_down();
        server_->stop();
        wait();
        // Joining blocks, and a second signal must still get through.
        boost::asio::post(snapshots_, [this] {
            server_->join();
            context_.stop();
        });
    }

    /// Tokens and the log level, from all places. Where something is wrong all stays as it was. Followers go
    /// on with the token that they began with.
    void reload() {
        try {
            const ServeOptions now = read_options_();
            for (const std::string& warning : now.warnings) {
                log_.warning("option", {{"message", warning}});
            }
            for (const std::string& option : options_to_restart_for(options_, now)) {
                log_.warning("needs_restart",
                             {{"option", option}, {"message", "it counts from the next start on"}});
            }
            server_->replace_tokens(now.server.token_set());
            // Said whichever of the two levels lets it through.
            log_.set_level(std::min(log_.level(), now.log_level()));
            log_.info("reloaded", {{"what", "the tokens and the log level"}});
            log_.set_level(now.log_level());
            reload_certificates(now.server.tls);
        } catch (const UsageError& wrong) {
            log_.error("reload_failed",
                       {{"message", wrong.what()}, {"used_instead", "the options of before"}});
        }
    }

    /// Open connections go on with theirs. Where one of the files is wrong all stay as they were.
    void reload_certificates(const net::TlsFiles& files) {
        if (server_->port(net::Transport::tls) == 0) {
            return;
        }
        try {
            server_->reload_certificates(files);
            log_.info("reloaded", {{"what", "the certificates"}});
        } catch (const net::TlsError& wrong) {
            log_.error("reload_failed",
                       {{"message", wrong.what()}, {"used_instead", "the certificates of before"}});
        }
    }

    void save_snapshot() {
        try {
            database_.save_snapshot(UntilStopped(stopping_));
            log_.info("snapshot_saved", {{"last_lsn", database_.last_lsn()}});
        } catch (const RequestError& given_up) {
            log_.info("snapshot_given_up", {{"message", given_up.what()}});
        } catch (const std::exception& failure) {
            log_.error("snapshot_failed", {{"message", failure.what()}});
        }
    }

    Database& database_;
    net::Server* server_ = nullptr;
    net::Log& log_;
    const ServeOptions& options_;  // of the start
    const ReadOptions& read_options_;
    boost::asio::io_context context_;
    boost::asio::signal_set signals_;
    boost::asio::thread_pool snapshots_{1};
    std::atomic<bool> stopping_{false};
    int stopped_by_ = 0;
};

/// At the end. Without a log this is all that survives; with one it makes the next start quick. False when
/// something is lost.
bool save_last_snapshot(Database& database, bool has_log, net::Log& log) {
    try {
        if (database.save_snapshot_if_changed()) {
            log.info("snapshot_saved", {{"last_lsn", database.last_lsn()}});
        }
        return true;
    } catch (const std::exception& failure) {
        const char* const lost =
            has_log ? "nothing: the event log has it" : "everything since the last snapshot that was stored";
        log.error("snapshot_failed",
                  {{"message", failure.what()}, {"last_lsn", database.last_lsn()}, {"lost", lost}});
        return has_log;
    }
}

int serve(const ServeOptions& options, const ReadOptions& read_options) {
    net::Log log(options.log_level());
    if (!options.config_file.empty()) {
        log.info("configuration_file", {{"path", options.config_file}});
    }
    warn(options, log);
    warn_of_exposure(options, log);
    ::umask(options.group_access ? 0027 : 0077);
    const std::size_t files_max = net::raise_open_files_limit();
    DatabaseOptions database_options = options.database;
    database_options.storage_open_files = static_cast<unsigned>(net::storage_files(files_max));
    database_options.on_failure = [&log](const std::string& what, const std::string& why) {
        log.error(what + "_failed", {{"message", why}});
    };
    database_options.on_warning = [&log](const std::string& event, const std::string& message) {
        log.warning(event, {{"message", message}});
    };
    database_options.log_lines_dropped = [&log] { return log.lines_dropped(); };
    net::check_serving(options.server);  // before --restore=false puts a database aside
    database_options.gives_up = is_stop_pending;
    std::unique_ptr<Database> database;
    try {
        database = Database::open(database_options);
    } catch (const RequestError&) {
        if (!is_stop_pending()) {
            throw;
        }
        log.info("stopped", {{"message", "while the state was being restored"}});
        return exit_success;
    }
    for (const std::string& damage : database->restore_warnings()) {
        log.error("damaged_snapshot",
                  {{"message", damage},
                   {"used_instead", "an older snapshot and more of the log: nothing is lost"}});
    }
    if (!database->copy_warning().empty()) {
        log.warning("copied_database", {{"message", database->copy_warning()}});
    }
    if (database->is_empty()) {
        log.info("empty_database",
                 {{"directory", options.database.directory.string()},
                  {"message", "it begins without data: if there should be some, look at --directory"}});
    }
    Supervisor supervisor(*database, log, options, read_options);
    replica::NodeOptions replication = node_options(options);
    limit_followers(replication, files_max, log);
    const std::unique_ptr<replica::Network> network = network_of(options);
    check_failover(*database, replication, configured_replication_port(options), *network);
    replica::Node node(*database, log, replication, {replica::machine_runtime(), *network});
    net::ServerOptions server_options = options.server;
    limit_connections(server_options, options.source.followers_max, files_max, log);
    net::Server server(server_options, *database, log, &node.subscriptions());
    database->set_replication(&node);
    const std::uint16_t port = replication_port(options, server);
    node.start(own_name(port), port);
    server.start();
    log.info("listening", {{"version", KARMA_VERSION},
                           {"address", options.server.address},
                           {"addresses", boost::json::value_from(server.addresses())},
                           {"port", server.port()},
                           {"directory", options.database.directory.string()},
                           {"open_files", std::uint64_t{files_max}},
                           {"max_connections", std::uint64_t{server_options.connections_max}},
                           {"max_reply_memory", std::uint64_t{server_options.reply_memory_max}},
                           {"max_series", std::uint64_t{options.database.series_max}},
                           {"max_ingest_streams", std::uint64_t{options.database.streams_max}},
                           {"role", role_name(database->role())},
                           {"database_id", database_id_text(*database)},
                           {"node_id", node_id_text(database->node_id())},
                           {"restored", database->restore_summary()}});
    supervisor.run(server);
    database->set_replication(nullptr);
    node.stop();
    if (database->has_failed()) {
        log.error("stopped", {{"message", "nothing could be written any more: " + database->failure()},
                              {"last_durable_lsn", database->has_log() ? database->durable_lsn() : 0}});
        return exit_failure;
    }
    const bool wants_snapshot = !options.database.wal || supervisor.stopped_by() == SIGINT;
    if (wants_snapshot && !save_last_snapshot(*database, options.database.wal, log)) {
        return exit_failure;
    }
    log.info("stopped", {{"last_lsn", database->last_lsn()}});
    return exit_success;
}

/// Why the daemon did not start. Who reads standard error may have stopped reading: see LogWriter.
void print_refusal(const std::string& why) {
    const net::LogWriter::Options options{
        .dropped_line = [](std::uint64_t /*count*/) { return std::string(); }};
    net::LogWriter(options).write(STDERR_FILENO, "karma: " + why + "\n");
}

/// What --print-config and --check-config print of options that can be used.
int describe(const ServeOptions& options, ServeRequest request) {
    for (const std::string& warning : options.warnings) {
        std::cerr << "karma: warning: " << warning << "\n";
    }
    if (request == ServeRequest::print_config) {
        print_config(std::cout, options);
    } else {
        std::cout << "ok: " << (options.config_file.empty() ? "no configuration file" : options.config_file)
                  << "\n";
    }
    return std::cout.flush() ? exit_success : exit_failure;
}

}  // namespace

int serve_main(std::span<const std::string> arguments) {
    hold_signals();
    std::signal(SIGPIPE, SIG_IGN);
    const ServeRequest request = serve_request(arguments);
    if (request == ServeRequest::help) {
        print_serve_help(std::cout);
        return exit_success;
    }
    if (request == ServeRequest::reference) {
        print_option_reference(std::cout);
        return exit_success;
    }
    try {
        const ReadOptions read_options = [arguments] {
            return read_serve_options(arguments, [](const char* name) { return std::getenv(name); });
        };
        ServeOptions options = read_options();
        std::ranges::move(unknown_variables(environ), std::back_inserter(options.warnings));
        if (request == ServeRequest::serve) {
            return serve(options, read_options);
        }
        return describe(options, request);
    } catch (const UsageError& wrong) {
        print_refusal(wrong.what() + std::string("\n(karma --help lists the options)"));
        return request == ServeRequest::check_config ? exit_failure : exit_usage;
    } catch (const std::exception& failure) {
        print_refusal(failure.what());
        return exit_failure;
    }
}

}  // namespace karma::cli
