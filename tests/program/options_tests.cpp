// The command line and the environment of the daemon.
#include <algorithm>
#include <cctype>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "tests/support/daemon.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

std::string lower(std::string text) {
    std::ranges::transform(text, text.begin(), [](unsigned char letter) { return std::tolower(letter); });
    return text;
}

// A daemon with just this command line and environment.
Daemon bare_daemon(std::vector<std::string> arguments, std::map<std::string, std::string> environment) {
    return Daemon({.arguments = std::move(arguments),
                   .environment = std::move(environment),
                   .usual_arguments = false,
                   .directory = {},
                   .open_files = {}});
}

// A daemon with the usual command line, further arguments, and this environment.
Daemon daemon_with(std::vector<std::string> arguments, std::map<std::string, std::string> environment) {
    return Daemon({.arguments = std::move(arguments),
                   .environment = std::move(environment),
                   .directory = {},
                   .open_files = {}});
}

json::value health(const Daemon& daemon, const json::object& fields = {}) {
    return daemon.connect().call("system.health", fields);
}

std::string ping_with_token(const Daemon& daemon, const std::string& token) {
    return daemon.connect().error_of("system.ping", {{"token", token}});
}

}  // namespace

TEST_CASE("options: --unknown-fields=refuse refuses what an op does not take") {
    const json::object fields{{"series", "a"}, {"key", 1}, {"bukcet", 20260505}};
    const Daemon ignoring = daemon_with({}, {});
    CHECK(ignoring.connect().call("counter.increment", fields) == 1);
    const Daemon refusing = daemon_with({"--unknown-fields=refuse"}, {});
    CHECK(refusing.connect().error_of("counter.increment", fields) == "validation_error");
    CHECK(refusing.connect().call("counter.increment", {{"series", "a"}, {"key", 1}, {"bucket", 20260505}}) ==
          1);
}

TEST_CASE("options: a bad value ends with status 2 and names its option") {
    struct BadArgument {
        std::string argument;
        std::string name;
    };
    const std::vector<BadArgument> bad_arguments{
        {"--port=abc", "port"},
        {"--port=70000", "port"},
        {"--port=-1", "port"},
        {"--port=", "port"},
        {"--role=boss", "role"},
        {"--wal=maybe", "wal"},
        {"--wal-fsync=2", "wal-fsync"},
        {"--nodelay=yesno", "nodelay"},
        {"--restore=x", "restore"},
        {"--log=loud", "log"},
        {"--log-level=trace", "log-level"},
        {"--storage=tape", "storage"},
        {"--threads=-3", "threads"},
        {"--wal-batch-size=many", "wal-batch-size"},
        {"--wal-batch-wait-us=-1", "wal-batch-wait-us"},
        {"--wal-segment-bytes=1k", "wal-segment-bytes"},
        {"--max-request-bytes=x", "max-request-bytes"},
        {"--max-response-bytes=-5", "max-response-bytes"},
        {"--read-timeout=soon", "read-timeout"},
        {"--write-timeout=-1", "write-timeout"},
        {"--idle-timeout=never", "idle-timeout"},
        {"--shutdown-timeout=0", "shutdown-timeout"},
        {"--query-timeout-ms=1s", "query-timeout-ms"},
        {"--shutdown-timeout=x", "shutdown-timeout"},
        {"--dump-retention-per-tree=x", "dump-retention-per-tree"},
        {"--idempotency-max-records=x", "idempotency-max-records"},
        {"--idempotency-max-age-seconds=x", "idempotency-max-age-seconds"},
        {"--replication-source-port=99999", "replication-source-port"},
        {"--replication-poll-interval-ms=x", "replication-poll-interval-ms"},
        {"--replication-batch-size=10001", "replication-batch-size"},
        {"--no-such-option", "no-such-option"},
    };
    const TempDir directory;
    for (const BadArgument& bad : bad_arguments) {
        CAPTURE(bad.argument);
        const ProgramResult result =
            run_program(karma_binary(), {"--directory=" + directory.path().string(), bad.argument});
        CAPTURE(result.standard_error);
        CHECK(result.status.code == 2);
        CHECK(contains(result.standard_error, bad.name));
        CHECK(result.standard_output == "");
    }
    CHECK(std::filesystem::is_empty(directory.path()));
}

TEST_CASE("options: a bad value in the environment ends with status 2 and names its variable") {
    struct BadVariable {
        std::string name;
        std::string value;
    };
    const std::vector<BadVariable> bad_variables{
        {"KARMA_PORT", "x"},
        {"KARMA_PORT", "65536"},
        {"KARMA_ROLE", "boss"},
        {"KARMA_WAL", "maybe"},
        {"KARMA_TCP_NODELAY", "maybe"},
        {"KARMA_WAL_BATCH_WAIT_MICROSECONDS", "x"},
        {"KARMA_MAX_REQUEST_BYTES", "x"},
        {"KARMA_READ_TIMEOUT_SECONDS", "x"},
        {"KARMA_IDLE_TIMEOUT", "x"},
        {"KARMA_REPLICATION_BATCH_SIZE", "10001"},
        {"KARMA_LOG", "loud"},
    };
    const TempDir directory;
    for (const BadVariable& bad : bad_variables) {
        CAPTURE(bad.name);
        const ProgramResult result = run_program(karma_binary(), {"--directory=" + directory.path().string()},
                                                 {{bad.name, bad.value}});
        CAPTURE(result.standard_error);
        CHECK(result.status.code == 2);
        CHECK(contains(result.standard_error, bad.name));
    }
}

TEST_CASE("options: a word that is no subcommand ends with status 2 and is named") {
    const ProgramResult result = run_program(karma_binary(), {"frobnicate"});
    CHECK(result.status.code == 2);
    CHECK(contains(result.standard_error, "frobnicate"));
}

// One that comes or goes is to be thought of here too: people have these in their scripts.
TEST_CASE("options: --help names every option and its variable, --version the version") {
    const std::set<std::string> expected{"auth-token",
                                         "auth-token-file",
                                         "bind",
                                         "config",
                                         "directory",
                                         "dump-retention-per-tree",
                                         "event-retention-bytes",
                                         "event-retention-seconds",
                                         "failover-timeout-ms",
                                         "failover-unsafe",
                                         "group-access",
                                         "idempotency-max-age-seconds",
                                         "idempotency-max-records",
                                         "idle-timeout",
                                         "listen",
                                         "log",
                                         "log-level",
                                         "max-connections",
                                         "max-ingest-streams",
                                         "max-reply-memory",
                                         "max-request-bytes",
                                         "max-response-bytes",
                                         "max-series",
                                         "nodelay",
                                         "port",
                                         "query-timeout-ms",
                                         "read-auth-token",
                                         "read-auth-token-file",
                                         "read-timeout",
                                         "replication-ack-timeout-ms",
                                         "replication-batch-size",
                                         "protocol-v1",
                                         "replication-digest-interval-seconds",
                                         "replication-discard-diverged",
                                         "replication-followers-max",
                                         "replication-min-acks",
                                         "replication-name",
                                         "replication-poll-interval-ms",
                                         "replication-source-host",
                                         "replication-source-port",
                                         "replication-timeout-ms",
                                         "replication-tls",
                                         "replication-tls-ca",
                                         "replication-tls-cert",
                                         "replication-tls-key",
                                         "replication-token",
                                         "replication-token-file",
                                         "restore",
                                         "restore-from",
                                         "role",
                                         "shutdown-timeout",
                                         "snapshot-interval-seconds",
                                         "storage",
                                         "threads",
                                         "tls-ca",
                                         "tls-cert",
                                         "tls-key",
                                         "unknown-fields",
                                         "wal",
                                         "wal-batch-size",
                                         "wal-batch-wait-us",
                                         "wal-fsync",
                                         "wal-segment-bytes",
                                         "write-timeout"};
    const ProgramResult help = run_program(karma_binary(), {"--help"});
    CHECK(help.status.code == 0);
    CHECK(help.standard_error == "");
    std::set<std::string> named;
    const std::regex option(R"(\n  (?:-\w, )?--([a-z0-9-]+)(?:=[A-Z]+)?(   \[KARMA_[A-Z0-9_]+\])?)");
    const std::string& text = help.standard_output;
    for (std::sregex_iterator found(text.begin(), text.end(), option), end; found != end; ++found) {
        const std::string name = (*found)[1];
        CAPTURE(name);
        if (name == "print-config" || name == "check-config") continue;  // of the command line only
        CHECK((*found)[2].matched);
        CHECK(named.insert(name).second);
    }
    CHECK(named == expected);
    const ProgramResult version = run_program(karma_binary(), {"--version"});
    CHECK(version.status.code == 0);
    CHECK(std::ranges::any_of(version.standard_output,
                              [](unsigned char letter) { return std::isdigit(letter) != 0; }));
}

TEST_CASE("options: the environment alone is enough") {
    const Daemon daemon = bare_daemon({}, {{"KARMA_HOST", "127.0.0.1"},
                                           {"KARMA_PORT", "{port}"},
                                           {"KARMA_DUMP_DIR", "{directory}"},
                                           {"KARMA_ROLE", "slave"},
                                           {"KARMA_LOG", "false"},
                                           {"KARMA_TCP_NODELAY", "false"},
                                           {"KARMA_MAX_REQUEST_BYTES", "200"},
                                           {"KARMA_MAX_RESPONSE_BYTES", "1000"},
                                           {"KARMA_WAL_SEGMENT_BYTES", "1048576"},
                                           {"KARMA_READ_TIMEOUT_SECONDS", "60"}});
    CHECK(member(health(daemon), "role") == json::value("slave"));
    CHECK(member(daemon.connect().ask_line(std::string(201, ' ')), "error_code") ==
          json::value("request_too_large"));
    CHECK(daemon.standard_output() == "");
    CHECK_FALSE(std::filesystem::is_empty(daemon.directory()));
}

TEST_CASE("options: the command line goes before the environment") {
    const Daemon daemon = daemon_with({"--role=master", "--max-request-bytes=2000", "--auth-token=right"},
                                      {{"KARMA_HOST", "nowhere.invalid."},
                                       {"KARMA_PORT", "1"},
                                       {"KARMA_DUMP_DIR", "/nowhere"},
                                       {"KARMA_ROLE", "slave"},
                                       {"KARMA_MAX_REQUEST_BYTES", "100"},
                                       {"KARMA_AUTH_TOKEN", "wrong"}});
    CHECK(member(health(daemon, {{"token", "right"}}), "role") == json::value("master"));
    CHECK(ping_with_token(daemon, "wrong") == "unauthorized");
    CHECK(daemon.connect()
              .ask("system.ping", {{"token", "right"}, {"pad", std::string(1000, 'p')}})
              .at("success") == json::value(true));
}

TEST_CASE("options: tokens from the environment, where an empty variable is none") {
    {
        const Daemon daemon =
            daemon_with({}, {{"KARMA_AUTH_TOKEN", "all"}, {"KARMA_READ_AUTH_TOKEN", "reads"}});
        CHECK(ping_with_token(daemon, "all").empty());
        CHECK(ping_with_token(daemon, "reads").empty());
        CHECK(ping_with_token(daemon, "") == "unauthorized");
        CHECK(daemon.connect().error_of("tree.create", {{"series", "a"}, {"token", "reads"}}) == "forbidden");
        CHECK(daemon.connect().error_of("tree.create", {{"series", "a"}, {"token", "all"}}).empty());
    }
    const Daemon open = daemon_with({}, {{"KARMA_AUTH_TOKEN", ""}, {"KARMA_READ_AUTH_TOKEN", ""}});
    CHECK(open.connect().error_of("tree.create", {{"series", "a"}}).empty());
}

TEST_CASE("options: short names, and values after a space") {
    const Daemon daemon = bare_daemon(
        {"-b", "127.0.0.1", "-p", "{port}", "-d", "{directory}", "-w", "false", "--log", "false"}, {});
    CHECK(member(health(daemon), "wal_enabled") == json::value(false));
    CHECK(daemon.connect().call("counter.increment", {{"series", "a"}, {"key", 1}}) == json::value(1));
}

TEST_CASE("options: a warning when bound beyond loopback without a token, and only then") {
    const auto warned = [](std::vector<std::string> arguments) {
        Daemon daemon(std::move(arguments));
        daemon.connect().call("system.ping", {{"token", "secret"}});
        CHECK(daemon.stop().code == 0);
        return contains(lower(daemon.standard_error()), "token");
    };
    CHECK(warned({"--bind=0.0.0.0"}));
    CHECK_FALSE(warned({"--bind=0.0.0.0", "--auth-token=secret"}));
    CHECK_FALSE(warned({"--bind=127.0.0.1"}));
}

TEST_CASE("options: karma call asks one request, and its exit status says whether it succeeded") {
    const Daemon daemon(std::vector<std::string>{"--auth-token=secret"});
    const auto call = [&](std::vector<std::string> arguments,
                          const std::map<std::string, std::string>& environment) {
        arguments.insert(arguments.begin(), "call");
        arguments.insert(arguments.end(), {"--host=127.0.0.1", "--port=" + std::to_string(daemon.port())});
        return run_program(karma_binary(), arguments, environment);
    };
    const std::map<std::string, std::string> token{{"KARMA_TOKEN", "secret"}};
    CHECK(call({R"({"v":2,"op":"counter.increment","series":"a","key":42,"value":9})"}, token).status.code ==
          0);
    const ProgramResult sum = call({"counter.sum", "series=a", "key=42", "--token=secret"}, {});
    CHECK(sum.status.code == 0);
    CHECK(contains(sum.standard_output, "9"));
    CHECK(call({"counter.sum", "series=missing", "key=42"}, token).status.code > 0);
    CHECK(call({"system.ping"}, {}).status.code > 0);
    const ReservedPort nobody;
    CHECK(run_program(karma_binary(), {"call", "system.ping", "--port=" + std::to_string(nobody.number())})
              .status.code > 0);
}

}  // namespace karma::test
