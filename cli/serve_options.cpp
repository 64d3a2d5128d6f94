#include "cli/serve_options.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <ostream>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <boost/program_options/options_description.hpp>
#include <boost/program_options/positional_options.hpp>
#include <boost/program_options/variables_map.hpp>

#include "cli/command_line.h"
#include "cli/token.h"
#include "net/machine.h"

namespace karma::cli {
namespace {

namespace po = boost::program_options;

/// One setting: how it is called, what it does, and how its text gets into the options. `source` in `set` is
/// what an error message calls it: the option or the variable.
struct Setting {
    const char* name;
    char short_name;  // 0: none
    const char* variable;
    const char* group;
    const char* argument;
    std::string help;
    std::function<void(ServeOptions&, const std::string& text, const std::string& source)> set;
};

[[noreturn]] void refuse(const std::string& source, const std::string& text, const std::string& expected) {
    throw UsageError(source + " must be " + expected + ", not \"" + text + "\"");
}

/// `also` says what else may be given, if anything.
template <typename Number>
Number to_number(const std::string& text, const std::string& source, Number low, Number high,
                 const char* also = "") {
    Number number{};
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (failure != std::errc{} || end != text.data() + text.size() || number < low || number > high) {
        refuse(source, text,
               "a whole number from " + std::to_string(low) + " to " + std::to_string(high) + also);
    }
    return number;
}

/// A number in that range, or 0.
template <typename Number>
Number to_number_or_none(const std::string& text, const std::string& source, Number low, Number high) {
    return text == "0" ? 0 : to_number<Number>(text, source, low, high, ", or 0 for no limit");
}

/// A number of seconds; `also` says what else may be given, if anything: 0.
std::chrono::milliseconds read_seconds(const std::string& text, const std::string& source, const char* also) {
    constexpr double seconds_most = 86'400;
    double seconds = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    const bool is_none = *also != '\0' && seconds == 0;
    if (failure != std::errc{} || end != text.data() + text.size() ||
        !(is_none || (seconds >= 0.001 && seconds <= seconds_most))) {
        refuse(source, text, std::string("a number of seconds from 0.001 to 86400") + also);
    }
    return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
}

std::chrono::milliseconds to_seconds(const std::string& text, const std::string& source) {
    return read_seconds(text, source, "");
}

std::chrono::milliseconds to_seconds_or_none(const std::string& text, const std::string& source) {
    return read_seconds(text, source, ", or 0 for no limit");
}

bool to_bool(const std::string& text, const std::string& source) {
    if (text == "true" || text == "1" || text == "yes" || text == "on") {
        return true;
    }
    if (text == "false" || text == "0" || text == "no" || text == "off") {
        return false;
    }
    refuse(source, text, "true or false");
}

std::string to_order(const std::string& text, const std::string& source) {
    constexpr std::size_t bytes_max = 128;
    const bool is_none = text == "false" || text == "0" || text == "no" || text == "off";
    const auto is_printable = [](char c) { return c > ' ' && c <= '~'; };
    if (text.size() > bytes_max || !std::ranges::all_of(text, is_printable)) {
        refuse(source, text,
               "a text of at most " + std::to_string(bytes_max) +
                   " printable characters without spaces, such as order-1");
    }
    return is_none ? std::string() : text;
}

bool is_slave(const std::string& text, const std::string& source) {
    const bool follows = text == "slave" || text == "follower";
    if (text != "master" && !follows) {
        refuse(source, text, "master, or slave (follower is another word for it)");
    }
    return follows;
}

StorageKind to_storage(const std::string& text, const std::string& source) {
    if (text == "rocksdb") {
        return StorageKind::rocksdb;
    }
    if (text != "memory") {
        refuse(source, text, "rocksdb or memory");
    }
    return StorageKind::memory;
}

/// A token as it was given. Empty, it would open the daemon to all: of a variable of a script that is not
/// set.
std::string to_token(ServeOptions& options, const std::string& text, const std::string& source) {
    if (text.empty()) {
        throw UsageError(source +
                         " is empty, as a variable that is not set gives it. Leave it out to have no token");
    }
    return token_of_text(text, source, options.warnings);
}

std::string to_file_name(const std::string& text, const std::string& source) {
    if (text.empty()) {
        refuse(source, text, "the name of a file");
    }
    return text;
}

unsigned default_threads() { return std::max(1U, std::thread::hardware_concurrency() / 2); }

constexpr std::uint64_t bytes_max = 1ULL << 40U;
constexpr std::uint32_t seconds_max = 100 * 366 * 86'400U;
constexpr std::uint32_t u32_max = std::numeric_limits<std::uint32_t>::max();

using Options = ServeOptions;
using Text = const std::string&;

std::vector<Setting> general_settings() {
    const char* const group = "General";
    return {
        {"bind", 'b', "KARMA_HOST", group, "ADDRESS", "address to listen on (0.0.0.0)",
         [](Options& o, Text text, Text source) {
             if (text.empty()) {
                 refuse(source, text, "an address");
             }
             o.server.address = text;
         }},
        {"port", 'p', "KARMA_PORT", group, "PORT", "port to listen on, 0 for any free one (8080)",
         [](Options& o, Text text, Text s) { o.server.port = to_number<std::uint16_t>(text, s, 0, 65535); }},
        {"directory", 'd', "KARMA_DUMP_DIR", group, "DIR", "where the data lies (.)",
         [](Options& o, Text text, Text source) {
             if (text.empty()) {
                 refuse(source, text, "a directory");
             }
             o.database.directory = text;
         }},
        {"storage", 0, "KARMA_STORAGE", group, "KIND",
         "rocksdb: on disk; memory: gone when the daemon ends (rocksdb)",
         [](Options& o, Text text, Text s) { o.database.storage = to_storage(text, s); }},
        {"threads", 0, "KARMA_THREADS", group, "N",
         "threads that serve connections (half the cores: " + std::to_string(default_threads()) + ")",
         [](Options& o, Text text, Text s) { o.server.threads = to_number<unsigned>(text, s, 1, 256); }},
        {"role", 0, "KARMA_ROLE", group, "ROLE", "master, or slave: answers queries only (master)",
         [](Options& o, Text text, Text s) { o.database.read_only = is_slave(text, s); }},
        {"restore", 'r', "KARMA_RESTORE", group, "BOOL",
         "restore the state at start; false starts empty and puts an existing database aside, untouched "
         "(true)",
         [](Options& o, Text text, Text s) { o.database.restore = to_bool(text, s); }},
        {"nodelay", 'n', "KARMA_TCP_NODELAY", group, "BOOL", "set TCP_NODELAY on connections (true)",
         [](Options& o, Text text, Text s) { o.server.nodelay = to_bool(text, s); }},
        {"log", 0, "KARMA_LOG", group, "BOOL",
         "log one JSON object a line on standard output; warnings and errors always go to standard error "
         "(true)",
         [](Options& o, Text text, Text s) { o.log = to_bool(text, s); }},
        {"log-level", 0, "KARMA_LOG_LEVEL", group, "LEVEL",
         "log what is of this level or above: debug (with each connection), info, warning or error (info)",
         [](Options& o, Text text, Text source) {
             const std::optional<net::LogLevel> level = net::log_level_from_name(text);
             if (!level) {
                 refuse(source, text, "debug, info, warning or error");
             }
             o.lowest_log_level = *level;
         }},
    };
}

std::vector<Setting> durability_settings() {
    const char* const group = "Durability";
    return {
        {"wal", 'w', "KARMA_WAL", group, "BOOL",
         "write events to the log before they are acknowledged; without it only snapshots survive (true)",
         [](Options& o, Text text, Text s) { o.database.wal = to_bool(text, s); }},
        {"wal-fsync", 0, "KARMA_WAL_FSYNC", group, "BOOL",
         "sync the log before an acknowledgement; false hands it to the operating system only (true)",
         [](Options& o, Text text, Text s) { o.database.wal_fsync = to_bool(text, s); }},
        {"wal-segment-bytes", 0, "KARMA_WAL_SEGMENT_BYTES", group, "BYTES",
         "with RocksDB: when its write-ahead files pass this size, what they hold is written to table files "
         "and new ones are begun; 0 for no limit (67108864)",
         [](Options& o, Text text, Text s) {
             o.database.wal_segment_bytes = to_number_or_none<std::uint64_t>(text, s, 65'536, bytes_max);
         }},
        {"wal-batch-size", 0, "KARMA_WAL_BATCH_SIZE", group, "N",
         "events that are committed together at most (1024)",
         [](Options& o, Text text, Text s) {
             o.database.wal_batch_size = to_number<std::uint32_t>(text, s, 1, 1'000'000);
         }},
        {"wal-batch-wait-us", 0, "KARMA_WAL_BATCH_WAIT_MICROSECONDS", group, "US",
         "microseconds that a group which is not full waits for more events; 0 commits as soon as the commit "
         "before is "
         "done (0)",
         [](Options& o, Text text, Text s) {
             o.database.wal_batch_wait_us = to_number<std::uint32_t>(text, s, 0, 1'000'000);
         }},
    };
}

std::vector<Setting> history_settings() {
    const char* const group = "Snapshots and history";
    return {
        {"restore-from", 0, "KARMA_RESTORE_FROM", group, "LSN",
         "restore from no newer snapshot than the one at this LSN, and from more of the log: for one that is "
         "damaged; 0 uses the log alone (the newest)",
         [](Options& o, Text text, Text s) {
             o.database.restore_from = to_number<Lsn>(text, s, 0, std::numeric_limits<Lsn>::max());
         }},
        {"snapshot-interval-seconds", 0, "KARMA_SNAPSHOT_INTERVAL_SECONDS", group, "SECONDS",
         "a snapshot of all series that often, unless nothing has changed; 0 for none (3600)",
         [](Options& o, Text text, Text s) {
             o.database.snapshot_interval_s = to_number<std::uint32_t>(text, s, 0, seconds_max);
         }},
        {"event-retention-seconds", 0, "KARMA_EVENT_RETENTION_SECONDS", group, "SECONDS",
         "events that are older are dropped, but none that the oldest snapshot needs; 0 for no limit "
         "(604800)",
         [](Options& o, Text text, Text s) {
             o.database.event_retention_s = to_number<std::uint64_t>(text, s, 0, seconds_max);
         }},
        {"event-retention-bytes", 0, "KARMA_EVENT_RETENTION_BYTES", group, "BYTES",
         "the oldest events are dropped while the log takes more, but none that the oldest snapshot needs; 0 "
         "for no limit (0)",
         [](Options& o, Text text, Text s) {
             o.database.event_retention_bytes = to_number<std::uint64_t>(text, s, 0, bytes_max);
         }},
        {"dump-retention-per-tree", 0, "KARMA_DUMP_RETENTION_PER_TREE", group, "N",
         "snapshots that are kept of each series (5)",
         [](Options& o, Text text, Text s) {
             o.database.snapshots_retained = to_number<unsigned>(text, s, 1, 1'000'000);
         }},
    };
}

std::vector<Setting> limits_settings() {
    const char* const group = "Limits and timeouts";
    return {
        {"max-request-bytes", 0, "KARMA_MAX_REQUEST_BYTES", group, "BYTES",
         "longest request line, without its newline (1048576)",
         [](Options& o, Text text, Text s) {
             o.server.request_bytes_max = to_number<std::size_t>(text, s, 1, 1ULL << 30U);
         }},
        {"unknown-fields", 0, "KARMA_UNKNOWN_FIELDS", group, "WHAT",
         "what is done about fields of a request that its op does not take: ignore, or refuse the request "
         "(ignore)",
         [](Options& o, Text text, Text s) {
             if (text != "ignore" && text != "refuse") {
                 refuse(s, text, "ignore or refuse");
             }
             o.server.refuse_unknown_fields = text == "refuse";
         }},
        {"max-response-bytes", 0, "KARMA_MAX_RESPONSE_BYTES", group, "BYTES",
         "longest reply line, 0 for no limit (1048576)",
         [](Options& o, Text text, Text s) {
             o.server.response_bytes_max = to_number<std::size_t>(text, s, 0, bytes_max);
         }},
        {"max-connections", 0, "KARMA_MAX_CONNECTIONS", group, "N",
         "connections of clients at the same time; never more than the limit of open files leaves when "
         "storage, followers and an administrator have theirs (as many as that)",
         [](Options& o, Text text, Text s) {
             o.server.connections_max = to_number<std::size_t>(text, s, 1, 10'000'000);
         }},
        {"max-reply-memory", 0, "KARMA_MAX_REPLY_MEMORY", group, "BYTES",
         "memory of large replies that wait for their clients; beyond it large ones are refused, and 0 for "
         "no limit (a sixteenth of the memory)",
         [](Options& o, Text text, Text s) {
             o.server.reply_memory_max = to_number<std::size_t>(text, s, 0, bytes_max);
         }},
        {"max-series", 0, "KARMA_MAX_SERIES", group, "N",
         "series; a request that would make another one is refused, and 0 for no limit (one for each KiB of "
         "half of the memory)",
         [](Options& o, Text text, Text s) {
             o.database.series_max = to_number<std::size_t>(text, s, 0, bytes_max);
         }},
        {"max-ingest-streams", 0, "KARMA_MAX_INGEST_STREAMS", group, "N",
         "ingest streams that are remembered, each counting once more for 8 of its chunks; further streams "
         "and "
         "chunks are refused, and 0 for no limit (one for each 8 KiB of the memory)",
         [](Options& o, Text text, Text s) {
             o.database.streams_max = to_number<std::size_t>(text, s, 0, bytes_max);
         }},
        {"read-timeout", 0, "KARMA_READ_TIMEOUT_SECONDS", group, "SECONDS",
         "a connection that has sent a part of a request, and not the rest for so long, is closed; 0 for no "
         "limit (5)",
         [](Options& o, Text text, Text s) { o.server.read_timeout = to_seconds_or_none(text, s); }},
        {"write-timeout", 0, "KARMA_WRITE_TIMEOUT_SECONDS", group, "SECONDS",
         "a connection that takes nothing of its replies for so long is closed; 0 for no limit (5)",
         [](Options& o, Text text, Text s) { o.server.write_timeout = to_seconds_or_none(text, s); }},
        {"idle-timeout", 0, "KARMA_IDLE_TIMEOUT", group, "SECONDS",
         "a connection that has sent no request for so long, and to which nothing is owed, is closed; 0 for "
         "never (0)",
         [](Options& o, Text text, Text s) { o.server.idle_timeout = to_seconds_or_none(text, s); }},
        {"query-timeout-ms", 0, "KARMA_QUERY_TIMEOUT_MS", group, "MS",
         "longest time for a read of a whole series or of events, from when the request was received; 0 for "
         "no "
         "limit. Administrative ops such as snapshot.verify are not bound by it (1000)",
         [](Options& o, Text text, Text s) {
             o.server.query_timeout =
                 std::chrono::milliseconds(to_number<std::uint32_t>(text, s, 0, u32_max));
         }},
        {"shutdown-timeout", 0, "KARMA_SHUTDOWN_TIMEOUT_SECONDS", group, "SECONDS",
         "time to finish what was received after SIGINT or SIGTERM (5)",
         [](Options& o, Text text, Text s) { o.server.shutdown_timeout = to_seconds(text, s); }},
        {"idempotency-max-records", 0, "KARMA_IDEMPOTENCY_MAX_RECORDS", group, "N",
         "idempotency records that are kept; beyond it the oldest are forgotten (1000000)",
         [](Options& o, Text text, Text s) {
             constexpr std::uint64_t records_max = 1ULL << 31U;
             o.database.idempotency.records_max = to_number<std::uint64_t>(text, s, 1, records_max);
         }},
        {"idempotency-max-age-seconds", 0, "KARMA_IDEMPOTENCY_MAX_AGE_SECONDS", group, "SECONDS",
         "how long they are kept, 0 for no limit by age (604800)",
         [](Options& o, Text text, Text s) {
             o.database.idempotency.age_max_s = to_number<std::int64_t>(text, s, 0, u32_max);
         }},
    };
}

std::vector<Setting> access_settings() {
    const char* const group = "Access";
    return {
        {"auth-token", 0, "KARMA_AUTH_TOKEN", group, "TOKEN", "token that allows everything (none)",
         [](Options& o, Text text, Text s) { o.server.auth_token = to_token(o, text, s); }},
        {"auth-token-file", 0, "KARMA_AUTH_TOKEN_FILE", group, "FILE",
         "the same from a file, whose newline at the end is cut; read again on SIGHUP (none)",
         [](Options& o, Text text, Text s) { o.token_files.all = to_file_name(text, s); }},
        {"read-auth-token", 0, "KARMA_READ_AUTH_TOKEN", group, "TOKEN", "token that allows to read (none)",
         [](Options& o, Text text, Text s) { o.server.read_auth_token = to_token(o, text, s); }},
        {"read-auth-token-file", 0, "KARMA_READ_AUTH_TOKEN_FILE", group, "FILE",
         "the same from a file (none)",
         [](Options& o, Text text, Text s) { o.token_files.read = to_file_name(text, s); }},
        {"group-access", 0, "KARMA_GROUP_ACCESS", group, "BOOL",
         "let the group of the daemon read the files that it makes (false)",
         [](Options& o, Text text, Text s) { o.group_access = to_bool(text, s); }},
    };
}

std::vector<Setting> following_settings() {
    const char* const group = "Following a master (with --role=slave)";
    return {
        {"replication-source-host", 0, "KARMA_REPLICATION_SOURCE_HOST", group, "HOST", "the master (none)",
         [](Options& o, Text text, Text) { o.replication.source_host = text; }},
        {"replication-source-port", 0, "KARMA_REPLICATION_SOURCE_PORT", group, "PORT", "its port (8080)",
         [](Options& o, Text text, Text s) {
             o.replication.source_port = to_number<std::uint16_t>(text, s, 1, 65535);
         }},
        {"replication-token", 0, "KARMA_REPLICATION_TOKEN", group, "TOKEN",
         "token for the master: its --auth-token (none)",
         [](Options& o, Text text, Text s) { o.replication.token = to_token(o, text, s); }},
        {"replication-token-file", 0, "KARMA_REPLICATION_TOKEN_FILE", group, "FILE",
         "the same from a file (none)",
         [](Options& o, Text text, Text s) { o.token_files.replication = to_file_name(text, s); }},
        {"replication-name", 0, "KARMA_REPLICATION_NAME", group, "NAME",
         "what the master calls this node: another name for each of its followers (host name and port)",
         [](Options& o, Text text, Text source) {
             constexpr std::size_t name_bytes_max = 200;
             if (text.empty() || text.size() > name_bytes_max) {
                 refuse(source, text, "a name of 1 to 200 bytes");
             }
             o.replication.name = text;
         }},
        {"replication-poll-interval-ms", 0, "KARMA_REPLICATION_POLL_INTERVAL_MS", group, "MS",
         "how often to ask a master that only answers polls: Karma 1.0 (1000)",
         [](Options& o, Text text, Text s) {
             o.replication.poll_interval_ms = to_number<std::uint32_t>(text, s, 1, u32_max);
         }},
        {"replication-batch-size", 0, "KARMA_REPLICATION_BATCH_SIZE", group, "N",
         "events to ask it for at a time, 1 to 10000 (1000)",
         [](Options& o, Text text, Text s) {
             o.replication.batch_size = to_number<std::uint32_t>(text, s, 1, 10'000);
         }},
        {"replication-discard-diverged", 0, "KARMA_REPLICATION_DISCARD_DIVERGED", group, "ORDER",
         "once, to give up what this node has where nothing proves that the master has it: it is moved "
         "aside, "
         "and its events are written into a file. ORDER is any text, and counts for one use; false: none "
         "(false)",
         [](Options& o, Text text, Text s) { o.replication.discard_order = to_order(text, s); }},
        {"failover-timeout-ms", 0, "KARMA_FAILOVER_TIMEOUT_MS", group, "MS",
         "promote itself when the master was silent for so long, this node was in sync until then, and the "
         "master cannot acknowledge without it (--replication-min-acks there) or another follower has not "
         "heard it either; 0 for never (0)",
         [](Options& o, Text text, Text s) {
             o.replication.failover_timeout_ms = to_number<std::uint32_t>(text, s, 0, u32_max);
         }},
        {"failover-unsafe", 0, "KARMA_FAILOVER_UNSAFE", group, "BOOL",
         "promote itself without that: a master that is only cut off goes on, and what it acknowledges then "
         "is lost (false)",
         [](Options& o, Text text, Text s) { o.replication.failover_unsafe = to_bool(text, s); }},
    };
}

std::vector<Setting> replication_settings() {
    const char* const group = "Being followed";
    return {
        {"replication-min-acks", 0, "KARMA_REPLICATION_MIN_ACKS", group, "N",
         "a write is acknowledged when so many followers have it on disk as well (0)",
         [](Options& o, Text text, Text s) {
             o.database.replication_min_acks = to_number<std::uint32_t>(text, s, 0, 64);
         }},
        {"replication-ack-timeout-ms", 0, "KARMA_REPLICATION_ACK_TIMEOUT_MS", group, "MS",
         "how long it waits for them before the answer is replication_error (1000)",
         [](Options& o, Text text, Text s) {
             o.database.replication_ack_timeout_ms = to_number<std::uint32_t>(text, s, 1, 86'400'000);
         }},
        {"replication-followers-max", 0, "KARMA_REPLICATION_FOLLOWERS_MAX", group, "N",
         "followers at a time (64)",
         [](Options& o, Text text, Text s) {
             o.replication.followers_max = to_number<std::size_t>(text, s, 1, 1'000);
         }},
        {"replication-timeout-ms", 0, "KARMA_REPLICATION_TIMEOUT_MS", group, "MS",
         "a follower that takes nothing for so long is dropped, a master that is silent for so long is "
         "connected to again (15000)",
         [](Options& o, Text text, Text s) {
             o.replication.timeout_ms = to_number<std::uint32_t>(text, s, 100, 86'400'000);
         }},
        {"replication-digest-interval-seconds", 0, "KARMA_REPLICATION_DIGEST_INTERVAL_SECONDS", group,
         "SECONDS", "how often followers prove that their state is the same; 0 for never (60)",
         [](Options& o, Text text, Text s) {
             o.replication.digest_interval_s = to_number<std::uint32_t>(text, s, 0, seconds_max);
         }},
    };
}

std::vector<Setting> make_settings() {
    std::vector<Setting> all;
    for (auto* const group : {general_settings, durability_settings, history_settings, limits_settings,
                              access_settings, following_settings, replication_settings}) {
        for (Setting& setting : group()) {
            all.push_back(std::move(setting));
        }
    }
    return all;
}

const std::vector<Setting>& settings() {
    static const std::vector<Setting> all = make_settings();
    return all;
}

std::string option_names(const Setting& setting) {
    const std::string name = setting.name;
    return setting.short_name == 0 ? name : name + "," + setting.short_name;
}

}  // namespace

namespace {

/// Kubernetes sets KARMA_PORT=tcp://ADDRESS:PORT in every container beside a Service that is called karma.
bool is_of_kubernetes(const Setting& setting, const std::string& text) {
    return setting.variable == std::string_view("KARMA_PORT") && text.starts_with("tcp://");
}

void read_variable(const Setting& setting, const std::string& text, ServeOptions& options) {
    if (is_of_kubernetes(setting, text)) {
        options.warnings.push_back(std::string(setting.variable) + "=" + text +
                                   " is passed over: Kubernetes sets it for a Service of that name. --port "
                                   "says the port");
        return;
    }
    setting.set(options, text, setting.variable);
}

/// What cannot be told from one option alone.
void check_together(const ServeOptions& options) {
    const bool follows = !options.replication.source_host.empty();
    if (follows && options.database.read_only && !options.database.wal) {
        throw UsageError(
            "--replication-source-host needs the event log: a follower stores what it takes (--wal=true)");
    }
    if (options.database.replication_min_acks != 0 && !options.database.wal) {
        throw UsageError("--replication-min-acks needs the event log (--wal=true)");
    }
    if (options.replication.failover_timeout_ms != 0 && !(follows && options.database.read_only)) {
        throw UsageError(
            "--failover-timeout-ms is for a follower: it needs --role=slave and --replication-source-host");
    }
    if (options.replication.failover_unsafe && options.replication.failover_timeout_ms == 0) {
        throw UsageError("--failover-unsafe=true has no effect without --failover-timeout-ms");
    }
}

}  // namespace

ServeOptions read_serve_options(std::span<const std::string> arguments, const Environment& environment) {
    po::options_description description;
    for (const Setting& setting : settings()) {
        description.add_options()(option_names(setting).c_str(), po::value<std::string>());
    }
    const po::variables_map given =
        parse_arguments(arguments, description, po::positional_options_description());
    ServeOptions options;
    options.server.threads = default_threads();
    options.database.snapshot_interval_s = 3600;
    constexpr std::size_t memory_parts = 16;
    constexpr std::size_t bytes_of_series = 2048;
    constexpr std::size_t bytes_of_stream = 8192;
    const std::size_t memory = net::machine_memory_bytes();
    options.server.reply_memory_max = memory / memory_parts;
    options.server.request_memory_max = memory / memory_parts;
    options.database.series_max = memory / bytes_of_series;
    options.database.streams_max = memory / bytes_of_stream;
    for (const Setting& setting : settings()) {
        if (given.count(setting.name) != 0) {
            setting.set(options, given[setting.name].as<std::string>(), std::string("--") + setting.name);
        } else if (const char* const text = environment(setting.variable); text != nullptr && *text != '\0') {
            read_variable(setting, text, options);
        } else if (text != nullptr && std::string_view(setting.variable).ends_with("AUTH_TOKEN")) {
            options.warnings.push_back(std::string(setting.variable) +
                                       " is set and empty: that is no token, as if it were not set");
        }
    }
    read_token_files(options);
    check_together(options);
    return options;
}

void read_token_files(ServeOptions& options) {
    struct Place {
        const char* option;
        const std::string& file;
        std::string& token;
        std::string found;
    };
    Place places[] = {
        {"auth-token", options.token_files.all, options.server.auth_token, {}},
        {"read-auth-token", options.token_files.read, options.server.read_auth_token, {}},
        {"replication-token", options.token_files.replication, options.replication.token, {}},
    };
    for (Place& place : places) {
        if (!place.file.empty()) {
            place.found =
                token_of_file(place.file, std::string("--") + place.option + "-file", options.warnings);
        }
    }
    for (Place& place : places) {
        if (!place.file.empty()) {
            place.token = std::move(place.found);
        }
    }
}

bool asks_for_help(std::span<const std::string> arguments) {
    return std::ranges::any_of(arguments, [](const std::string& a) { return a == "--help" || a == "-h"; });
}

void print_serve_help(std::ostream& out) {
    out << "usage: karma [serve] [options]          the daemon\n"
           "       karma call OP NAME=VALUE...      one request to a running daemon; karma call --help\n"
           "       karma import FILE --series S     a CSV file into a running daemon; karma import --help\n"
           "       karma import DIR                 a Karma 1.0 directory into a new database\n"
           "       karma reconcile FILE --series S  compares a CSV file with it; karma reconcile --help\n"
           "       karma history                    what happened: its events; karma history --help\n"
           "       karma export OUT                 its data as files; karma export --help\n"
           "       karma backup DIR                 a whole, verified copy of it; karma backup --help\n"
           "       karma verify DIR                 checks a stopped daemon's data; karma verify --help\n"
           "       karma replay DIR                 rebuilds an earlier state of it; karma replay --help\n"
           "       karma promote                    makes a running slave the master; karma promote --help\n"
           "       karma ping, karma health         does it answer, is all well; --wait waits until so\n"
           "       karma status                     what it is and how it does; karma status --help\n"
           "       karma help SUBCOMMAND            the options of one of these\n"
           "       karma --version | --help\n"
           "\n"
           "An option that is not given is taken from its environment variable. Defaults are in "
           "parentheses.\n";
    const char* group = "";
    for (const Setting& setting : settings()) {
        if (std::string(group) != setting.group) {
            group = setting.group;
            out << "\n" << group << ":\n";
        }
        out << "  ";
        if (setting.short_name != 0) {
            out << '-' << setting.short_name << ", ";
        }
        out << "--" << setting.name << '=' << setting.argument << "   [" << setting.variable << "]\n      "
            << setting.help << "\n";
    }
}

}  // namespace karma::cli
