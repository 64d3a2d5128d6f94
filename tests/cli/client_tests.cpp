// What the subcommands that talk to a daemon have in common, and the small ones: ping, health, history.
#include <atomic>
#include <chrono>
#include <cstring>
#include <dlfcn.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <netdb.h>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "cli/call.h"
#include "cli/export.h"
#include "cli/health.h"
#include "cli/history.h"
#include "cli/import_directory.h"
#include "cli/ping.h"
#include "cli/promote.h"
#include "cli/status.h"
#include "tests/cli/environment.h"
#include "tests/support/fake_server.h"
#include "tests/support/port.h"
#include "tests/support/settings.h"
#include "tests/support/temp_dir.h"

namespace karma::test {

namespace {

constexpr const char* name_without_answer = "no-answer.test";
std::atomic<bool> resolver_is_released{false};
std::atomic<bool> resolver_has_answered{false};

}  // namespace

// In place of the system's function: a resolver that does not answer about one name.
// NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): the system's names are not for others
extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** found) {
    using Function = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
    if (node != nullptr && std::strcmp(node, name_without_answer) == 0) {
        constexpr auto step = std::chrono::milliseconds(10);
        for (auto left = patience(); left > step && !resolver_is_released; left -= step) {
            std::this_thread::sleep_for(step);
        }
        resolver_has_answered = true;
        return EAI_AGAIN;
    }
    static const auto real = reinterpret_cast<Function>(::dlsym(RTLD_NEXT, "getaddrinfo"));
    return real(node, service, hints, found);
}

namespace {

struct ClientOutcome {
    int status = -1;
    std::string out;
    std::string err;
};

using Run = std::function<int(std::span<const std::string>, std::ostream&, std::ostream&)>;

ClientOutcome run_client(const Run& run, const std::vector<std::string>& arguments) {
    std::ostringstream out;
    std::ostringstream err;
    ClientOutcome outcome;
    outcome.status = run(arguments, out, err);
    outcome.out = out.str();
    outcome.err = err.str();
    return outcome;
}

int call_without_input(std::span<const std::string> arguments, std::ostream& out, std::ostream& err) {
    std::istringstream in;
    return cli::run_call(arguments, in, out, err);
}

ClientOutcome call_once(const std::vector<std::string>& arguments) {
    return run_client(call_without_input, arguments);
}

// A daemon whose health and replication.status are these, one after the other, the last one for ever.
FakeServer::Answer answers(std::vector<std::string> healths, std::vector<std::string> statuses) {
    const auto next = [](std::vector<std::string>& replies) {
        std::string reply = replies.front();
        if (replies.size() > 1) replies.erase(replies.begin());
        return reply;
    };
    return [=](std::size_t, const std::string& line) mutable {
        const bool is_health = line.find("system.health") != std::string::npos;
        return FakeAnswer{success_reply(next(is_health ? healths : statuses))};
    };
}

constexpr const char* healthy = R"({"status":"ok","role":"slave"})";

}  // namespace

TEST_CASE("call: a field that the op does not take is refused, and nothing is sent") {
    const FakeServer server([](std::size_t, const std::string&) { return FakeAnswer{success_reply("1")}; });
    const auto refused = [&](std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), server.port_option());
        const ClientOutcome outcome = call_once(arguments);
        CHECK(outcome.status == 2);
        CHECK(outcome.out.empty());
        return outcome.err;
    };
    CHECK(
        refused({"counter.increment", "series=a", "key=1", "bukcet=20260505"})
            .starts_with("karma call: Field bukcet is unknown to counter.increment: the nearest known one is "
                         "bucket; it takes series|tree key [bucket|date]"));
    CHECK(refused({"counter.reset", "series=a", "key=1", "bucket=20260505"})
              .starts_with("karma call: Field bucket is unknown to counter.reset"));
    CHECK(refused({"tree.top", "series=a", "range.form=20260505"}).find("nearest known one is range.from;") !=
          std::string::npos);
    CHECK(refused({R"({"v":2,"op":"tree.drop","series":"a","key":1})"})
              .find("Field key is unknown to tree.drop") != std::string::npos);
    CHECK(server.requests().empty());
    // What is not known here is the daemon's to judge.
    CHECK(call_once({server.port_option(), "counter.of_later_version", "bukcet=1"}).status == 0);
    CHECK(call_once({server.port_option(), R"({"v":3,"op":"tree.drop","key":1})"}).status == 0);
    CHECK(server.requests().size() == 2);
}

TEST_CASE("call: --ops prints every op with its fields") {
    const ClientOutcome outcome = call_once({"--ops"});
    CHECK(outcome.status == 0);
    CHECK(outcome.out.find("counter.sum series|tree key [range|last] [as_of]\n") != std::string::npos);
    CHECK(outcome.out.find("series.increment series|tree key [bucket|date] [value] [reply] [idempotency_key] "
                           "[fingerprint]\n") != std::string::npos);
    CHECK(outcome.out.find("system.ping\n") != std::string::npos);
}

TEST_CASE("clients: a URL says where the daemon is") {
    const FakeServer server([](std::size_t, const std::string&) { return FakeAnswer{success_reply("1")}; });
    const std::string port = std::to_string(server.port());
    const EnvironmentVariable variable("KARMA_URL");
    variable.unset();
    CHECK(call_once({"x", "--url=karma://127.0.0.1:" + port}).status == 0);
    CHECK(call_once({"x", "--url", "karma://127.0.0.1:" + port + "/"}).status == 0);

    variable.set("karma://127.0.0.1:" + port);
    CHECK(call_once({"x"}).status == 0);
    CHECK(call_once({"x", "--host=127.0.0.1"}).status == 0);
    // What is given wins.
    const ReservedPort closed;
    CHECK(call_once({"x", "--port=" + std::to_string(closed.number())}).status == 3);
    CHECK(call_once({"x", "--url=karma://127.0.0.1:" + std::to_string(closed.number())}).status == 3);
    variable.set("karma://127.0.0.1:" + std::to_string(closed.number()));
    CHECK(call_once({"x", server.port_option()}).status == 0);

    const auto refused = [](const std::vector<std::string>& arguments) {
        const ClientOutcome outcome = call_once(arguments);
        CHECK(outcome.status == 2);
        return outcome.err;
    };
    for (const char* const url : {"http://a", "127.0.0.1:1", "karma://", "karma://:1", "karma://[::1",
                                  "karma://a/b", "karma://[::1]x", "karma://user@a"}) {
        CAPTURE(url);
        CHECK(refused({"x", std::string("--url=") + url}).find("is not karma://HOST:PORT, karmas://") !=
              std::string::npos);
    }
    CHECK(refused({"x", "--url=karma://a:0"}).find("has a port that is no number from 1 to 65535") !=
          std::string::npos);
    CHECK(refused({"x", "--url=karma://a", "--port=1"}).find("leave out --host and --port") !=
          std::string::npos);
    variable.set("tcp://10.0.0.1:1");
    CHECK(refused({"x"}).find("KARMA_URL: \"tcp://10.0.0.1:1\" is not karma://HOST") != std::string::npos);
    variable.unset();
    CHECK(call_once({"x", "--url=karma://[::1]:" + std::to_string(closed.number())}).err.find("[::1]:") !=
          std::string::npos);
}

TEST_CASE("clients: a token from a file") {
    const FakeServer server([](std::size_t, const std::string&) { return FakeAnswer{success_reply("1")}; });
    const EnvironmentVariable variable("KARMA_TOKEN");
    variable.set("from-env");
    const TempDir directory;
    const std::string file = (directory.path() / "token").string();
    const auto with_file = [&](const std::string& content) {
        std::ofstream(file, std::ios::binary) << content;
        return call_once({server.port_option(), "x", "--token-file=" + file});
    };
    for (const char* const content : {"secret", "secret\n", "secret\r\n"}) {
        CHECK(with_file(content).status == 0);
        CHECK(server.requests().back() == R"({"v":2,"op":"x","token":"secret"})");
    }
    CHECK(with_file("").err.find(" holds no token") != std::string::npos);
    CHECK(with_file("\n").err.find(" holds no token") != std::string::npos);
    CHECK(with_file("a\nb\n").err.find(" has more than one line") != std::string::npos);
    const std::size_t sent = server.requests().size();
    CHECK(call_once({server.port_option(), "x", "--token-file=" + file + ".not"}).status == 2);
    CHECK(call_once({server.port_option(), "x", "--token-file=" + directory.path().string()}).status == 2);
    CHECK(call_once({server.port_option(), "x", "--token-file=" + file, "--token=a"}).status == 2);
    CHECK(server.requests().size() == sent);
}

TEST_CASE("clients: the timeout counts while the resolver does not answer") {
    const ClientOutcome outcome =
        call_once({"system.ping", std::string("--host=") + name_without_answer, "--timeout=1"});
    CHECK_FALSE(resolver_has_answered);
    resolver_is_released = true;
    CHECK(outcome.status == 3);
    CHECK(outcome.err ==
          "karma call: cannot connect to no-answer.test:8080: cannot look up no-answer.test: the "
          "resolver has not answered\n");
}

TEST_CASE("ping: says pong, or waits for it") {
    const FakeServer server(
        [](std::size_t, const std::string&) { return FakeAnswer{success_reply("\"pong\"")}; });
    CHECK(run_client(cli::run_ping, {server.port_option()}).out == "pong\n");
    CHECK(run_client(cli::run_ping, {server.port_option(), "--wait"}).status == 0);
    const ReservedPort closed;
    const std::string port = "--port=" + std::to_string(closed.number());
    CHECK(run_client(cli::run_ping, {port}).status == 3);
    const ClientOutcome waited = run_client(cli::run_ping, {port, "--wait=1"});
    CHECK(waited.status == 3);
    CHECK(waited.err.starts_with("karma ping: cannot connect to 127.0.0.1:"));
    CHECK(run_client(cli::run_ping, {port, "--wait=x"}).status == 2);

    const FakeServer refusing([](std::size_t, const std::string&) {
        return FakeAnswer{error_reply("unauthorized", "Unauthorized")};
    });
    CHECK(run_client(cli::run_ping, {refusing.port_option(), "--wait=60"}).status == 1);

    // It is down, and comes while it is waited for.
    const FakeServer late([](std::size_t index, const std::string&) {
        return index < 2 ? FakeAnswer{"", true} : FakeAnswer{success_reply("\"pong\"")};
    });
    CHECK(run_client(cli::run_ping, {late.port_option(), "--wait"}).status == 0);
    CHECK(late.connections() == 3);
}

TEST_CASE("health: its status is the exit status") {
    const auto health = [](const FakeServer::Answer& answer, const std::vector<std::string>& arguments = {}) {
        const FakeServer server(answer);
        std::vector<std::string> all{server.port_option()};
        all.insert(all.end(), arguments.begin(), arguments.end());
        return run_client(cli::run_health, all);
    };
    const std::string bad = R"({"status":"failed: no space","role":"master"})";
    const std::string streaming = R"({"role":"slave","replication_state":"streaming"})";
    const std::string behind = R"({"role":"slave","replication_state":"catching_up"})";
    CHECK(health(answers({healthy}, {behind})).out == "ok\n");
    CHECK(health(answers({healthy}, {behind})).status == 0);
    CHECK(health(answers({bad}, {})).out == "failed: no space\n");
    CHECK(health(answers({bad}, {})).status == 1);
    CHECK(health(answers({bad}, {}), {"--wait=1"}).status == 1);
    // --wait: until it is ok, and in sync with a master.
    CHECK(health(answers({bad, bad, healthy}, {behind, streaming}), {"--wait"}).status == 0);
    const ClientOutcome stuck = health(answers({healthy}, {behind}), {"--wait=1"});
    CHECK(stuck.status == 1);
    CHECK(stuck.out == "the follower is not in sync: catching_up\n");
    const std::string polling = R"({"role":"slave","replication_state":"polling","replication_lag_entries":)";
    CHECK(health(answers({healthy}, {polling + "1}", polling + "0}"}), {"--wait"}).status == 0);
    CHECK(health(answers({healthy}, {R"({"role":"master","replication_state":"stopped"})"}), {"--wait"})
              .status == 0);
}

TEST_CASE("status: what a daemon is and how it does") {
    const auto answer_with = [](const std::string& health) {
        return [health](std::size_t, const std::string& line) {
            if (line.find("system.health") != std::string::npos) return FakeAnswer{success_reply(health)};
            if (line.find("system.stats") != std::string::npos) {
                return FakeAnswer{success_reply(
                    R"({"trees":2,"keys":12345,"wal_enabled":true,"wal_bytes":2097152,"wal_current_lsn":77,)"
                    R"("dump_count":4,"memory_bytes":25165824,"command_count":9,"error_count":1,)"
                    R"("replication_epoch":3})")};
            }
            return FakeAnswer{success_reply(
                R"({"last_snapshot_lsn":70,"database_id":"00ff","node_id":"11ee","replication_source":null,)"
                R"("followers":[{"name":"b","address":"10.0.0.2:8080","state":"streaming","lag_entries":1}]})")};
        };
    };
    const FakeServer well(answer_with(R"({"status":"ok","role":"master","uptime_seconds":7380.5})"));
    const ClientOutcome outcome = run_client(cli::run_status, {well.port_option()});
    CHECK(outcome.status == 0);
    CHECK(outcome.err == "");
    CHECK(outcome.out == "address      127.0.0.1:" + well.port_option().substr(7) + R"(
health       ok
role         master, epoch 3
uptime       2 h 3 min
holds        2 series, 12,345 keys
last LSN     77
event log    2,048 KiB
snapshots    4, the latest of everything at LSN 70
memory       24 MiB
requests     9, of which 1 refused or failed
database id  00ff
node id      11ee
follower     b (10.0.0.2:8080): streaming, 1 event behind
)");
    // The list of snapshots, which may be too long, is not asked for.
    CHECK(well.requests().back().find(R"("limit":0)") != std::string::npos);
    const ClientOutcome as_json = run_client(cli::run_status, {well.port_option(), "--json"});
    CHECK(as_json.status == 0);
    CHECK(as_json.out.starts_with(R"({"health":{"status":"ok",)"));
    const FakeServer ill(answer_with(R"({"status":"failed: no space","role":"slave","uptime_seconds":3})"));
    const ClientOutcome failed = run_client(cli::run_status, {ill.port_option()});
    CHECK(failed.status == 1);
    CHECK(failed.out.find("health       failed: no space\n") != std::string::npos);
    CHECK(failed.out.find("uptime       3 s\n") != std::string::npos);
    const ReservedPort closed;
    CHECK(run_client(cli::run_status, {"--port=" + std::to_string(closed.number())}).status == 3);
}

TEST_CASE("promote: with --force it asks for no promise, and says whose is missing") {
    const FakeServer server([](std::size_t, const std::string&) {
        return FakeAnswer{success_reply(R"({"epoch":2,"epoch_id":7,"lsn":5,"without_promise":["c"]})")};
    });
    const ClientOutcome plain = run_client(cli::run_promote, {server.port_option()});
    CHECK(plain.status == 0);
    CHECK(server.requests().back().find(R"("force":false)") != std::string::npos);
    CHECK(plain.out.find("is the master of epoch 2, which began at LSN 5\nwithout the promise of \"c\"") !=
          std::string::npos);
    CHECK(run_client(cli::run_promote, {server.port_option(), "--force"}).status == 0);
    CHECK(server.requests().back().find(R"("force":true)") != std::string::npos);
}

TEST_CASE("import: a directory that is not there is called that") {
    using Words = std::vector<std::string>;
    const TempDir scratch;
    const std::string typo = (scratch.path() / "typo").string();
    const std::string file = (scratch.path() / "a.csv").string();
    std::ofstream(file) << "1,20260505,1\n";
    for (const Words& words : {Words{typo, "--directory", "x"}, Words{"--directory=x", typo}, Words{typo},
                               Words{typo + "/", "--series=a"}, Words{scratch.path().string()}}) {
        CAPTURE(words.front());
        CHECK(cli::names_directory(words));
    }
    for (const Words& words :
         {Words{typo, "--series=a"}, Words{file, "--series", "a"}, Words{"--help"}, Words{},
          Words{"-", "--series=a"}, Words{"--series", scratch.path().string(), file}}) {
        CHECK_FALSE(cli::names_directory(words));
    }
    const ClientOutcome missing = run_client(cli::run_import_directory, {typo + "/", "--directory=" + typo});
    CHECK(missing.status == 2);
    CHECK(missing.err.find(typo + "/\" does not exist\n") != std::string::npos);
    const ClientOutcome no_directory = run_client(cli::run_import_directory, {file, "--directory=" + typo});
    CHECK(no_directory.status == 2);
    CHECK(no_directory.err.find(file + "\" is no directory\n") != std::string::npos);
    CHECK_FALSE(std::filesystem::exists(typo));
}

TEST_CASE("history: times are UTC days, RFC 3339 or Unix seconds") {
    const FakeServer server([](std::size_t, const std::string&) {
        return FakeAnswer{success_reply(R"({"events":[],"complete":true,"next_lsn":1})")};
    });
    const auto asked = [&](const std::string& option) {
        const ClientOutcome outcome = run_client(cli::run_history, {server.port_option(), option});
        CHECK(outcome.status == 0);
        return server.requests().back();
    };
    CHECK(asked("--from=2026-11-26").find(R"("from":"2026-11-26T00:00:00Z")") != std::string::npos);
    CHECK(asked("--to=2026-11-26").find(R"("to":"2026-11-26T23:59:59Z")") != std::string::npos);
    CHECK(asked("--to=20261126").find(R"("to":20261126)") != std::string::npos);
    CHECK(asked("--from=2026-11-26T10:00:00+01:00").find(R"("from":"2026-11-26T10:00:00+01:00")") !=
          std::string::npos);
    const std::size_t sent = server.requests().size();
    const ClientOutcome outcome = run_client(cli::run_history, {server.port_option(), "--from=2026-02-30"});
    CHECK(outcome.status == 2);
    CHECK(
        outcome.err.starts_with("karma history: --from: \"2026-02-30\" is no UTC day such as 2026-05-05, no "
                                "time such as 2026-05-05T00:00:00Z, and no Unix seconds\n"));
    CHECK(server.requests().size() == sent);
}

TEST_CASE("export: the daemon may take longer than --timeout to make the snapshot") {
    const FakeServer server([](std::size_t, const std::string&) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1'500));
        return FakeAnswer{error_reply("not_found", "the snapshot took so long")};
    });
    const TempDir scratch;
    const ClientOutcome outcome =
        run_client(cli::run_export, {(scratch.path() / "out").string(), server.port_option(), "--timeout=1"});
    CHECK(outcome.status == 1);
    CHECK(outcome.err.find("the snapshot took so long") != std::string::npos);
}

}  // namespace karma::test
