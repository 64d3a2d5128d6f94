// Who gets in: browsers, wrong tokens, tokens in files and arguments, and what others on the machine see.
#include <csignal>
#include <filesystem>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <vector>

#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>

#include "tests/program/counter.h"
#include "tests/support/daemon.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

std::string ping_error(const Daemon& daemon, const std::string& token) {
    return daemon.connect().error_of("system.ping", {{"token", token}});
}

/// Waits until the log has a text.
bool is_logged(const Daemon& daemon, const std::string& text) {
    const auto end = std::chrono::steady_clock::now() + patience();
    while (std::chrono::steady_clock::now() < end) {
        if (contains(daemon.standard_output() + daemon.standard_error(), text)) return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
}

unsigned mode_of(const std::filesystem::path& path) {
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    return status.st_mode & 0777U;
}

std::vector<std::string> modes_below(const std::filesystem::path& directory, unsigned of_files,
                                     unsigned of_directories) {
    std::vector<std::string> wrong;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
        if (mode_of(entry.path()) != (entry.is_directory() ? of_directories : of_files)) {
            wrong.push_back(entry.path().string());
        }
    }
    return wrong;
}

}  // namespace

TEST_CASE("access: what a browser sends is not executed") {
    const Daemon daemon(std::vector<std::string>{"--log=false"});
    daemon.connect().call("counter.increment", counter("links", 1, 5));
    const std::string drop = request("tree.drop", {{"series", "links"}}) + "\n";
    for (const std::string head : {"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n\r\n",
                                   "OPTIONS /x?y=1 HTTP/1.0\r\n\r\n", "HOST: a\r\n", "GET  / HTTP/2\n"}) {
        CAPTURE(head);
        Client browser = daemon.connect();
        browser.send(head + drop);
        CHECK(contains(browser.receive_line(), "HTTP"));
        CHECK(browser.closed_by_server());
        CHECK(as_number(daemon.connect().call("counter.sum", {{"series", "links"}, {"key", 1}})) == 5);
    }
    // What repeats a foreign session ticket in the first message of TLS is not executed either.
    Client handshake = daemon.connect();
    handshake.send("\x16\x03\x01\x02\n" + drop);
    CHECK(contains(handshake.receive_line(), "TLS"));
    CHECK(handshake.closed_by_server());
    CHECK(as_number(daemon.connect().call("counter.sum", {{"series", "links"}, {"key", 1}})) == 5);
    // Other nonsense is answered, and the connection goes on.
    Client client = daemon.connect();
    client.send_line("HTTP/1.1 200 OK");
    CHECK(contains(client.receive_line(), "invalid_json"));
    client.send(drop);
    CHECK(contains(client.receive_line(), "true"));
}

TEST_CASE("access: a client that goes on with wrong tokens is cut off, and the log says so once") {
    Daemon daemon(std::vector<std::string>{"--log=true", "--auth-token=secret"});
    for (int round = 0; round < 3; ++round) {
        Client client = daemon.connect();
        std::string many;
        for (int i = 0; i < 1'000; ++i) {
            many += request("system.ping", {{"token", "guess" + std::to_string(i)}}) + "\n";
        }
        client.send(many);
        int replies = 0;
        try {
            for (; replies < 1'000; ++replies) {
                const std::string reply = client.receive_line();
                CHECK(contains(reply, "unauthorized"));
            }
        } catch (const std::exception&) {
            CHECK(replies > 0);
        }
        CHECK(replies == 100);
    }
    CHECK(ping_error(daemon, "secret").empty());
    CHECK(is_logged(daemon, "refused_logins"));
    const json::value stats = daemon.connect().call("system.stats", {{"token", "secret"}});
    CHECK(as_number(member(stats, "refused_login_count")) == 300);
    CHECK(contains(std::string(daemon.connect().call("system.metrics", {{"token", "secret"}}).as_string()),
                   "\nkarma_refused_logins_total 300\n"));
    CHECK(daemon.stop().code == 0);
    const std::string log = daemon.standard_error();
    CHECK(log.find("refused_logins") == log.rfind("refused_logins"));
    CHECK_FALSE(contains(log, "guess"));
}

TEST_CASE("access: a misspelt variable, which leaves the daemon open, is logged without its value") {
    DaemonOptions options;
    options.environment = {{"KARMA_AUTHTOKEN", "secret"}, {"KARMA_SERVICE_HOST", "10.0.0.7"}};
    const Daemon daemon(options);
    CHECK(is_logged(daemon, "KARMA_AUTHTOKEN is set in the environment and has no effect"));
    CHECK_FALSE(is_logged(daemon, "secret"));
    CHECK_FALSE(is_logged(daemon, "KARMA_SERVICE_HOST"));
}

TEST_CASE("access: an empty token is refused, and a newline at its end is none of it") {
    for (const char* const option : {"--auth-token=", "--read-auth-token=", "--replication-token="}) {
        const ProgramResult refused = run_program(karma_binary(), {"serve", option});
        CHECK(refused.status.code == 2);
        CHECK(
            contains(refused.standard_error, std::string(option).substr(0, std::string(option).size() - 1)));
    }
    DaemonOptions options;
    options.environment = {{"KARMA_AUTH_TOKEN", "secret\n"}};
    Daemon daemon(options);
    CHECK(ping_error(daemon, "secret").empty());
    CHECK(ping_error(daemon, "other") == "unauthorized");
    CHECK(is_logged(daemon, "KARMA_AUTH_TOKEN ended with a newline"));
}

TEST_CASE("access: tokens from files, which are read again on SIGHUP") {
    const TempDir scratch;
    const std::filesystem::path all = scratch / "all";
    const std::filesystem::path reading = scratch / "reading";
    write_file(all, "first\n");
    write_file(reading, "reads\r\n");
    std::filesystem::permissions(all, std::filesystem::perms(0600));
    std::filesystem::permissions(reading, std::filesystem::perms(0644));
    Daemon daemon(std::vector<std::string>{"--log=true", "--auth-token-file=" + all.string(),
                                           "--read-auth-token-file=" + reading.string()});
    CHECK(ping_error(daemon, "first").empty());
    CHECK(ping_error(daemon, "reads").empty());
    CHECK(daemon.connect().error_of("tree.create", {{"series", "a"}, {"token", "reads"}}) == "forbidden");
    CHECK(is_logged(daemon, "others on this machine may read " + reading.string()));
    CHECK_FALSE(contains(daemon.standard_error(), "may read " + all.string()));
    Client before = daemon.connect();
    CHECK(before.error_of("system.ping", {{"token", "first"}}).empty());
    write_file(all, "second\n");
    daemon.send_signal(SIGHUP);
    REQUIRE(is_logged(daemon, "\"reloaded\""));
    CHECK(before.error_of("system.ping", {{"token", "first"}}) == "unauthorized");
    CHECK(before.error_of("system.ping", {{"token", "second"}}).empty());
    // What cannot be read changes nothing.
    write_file(all, "\n");
    daemon.send_signal(SIGHUP);
    REQUIRE(is_logged(daemon, "reload_failed"));
    CHECK(ping_error(daemon, "second").empty());
    CHECK(ping_error(daemon, "reads").empty());
    CHECK(daemon.stop().code == 0);
    const ProgramResult missing =
        run_program(karma_binary(), {"serve", "--auth-token-file=" + (scratch / "none").string()});
    CHECK(missing.status.code == 2);
    CHECK(contains(missing.standard_error, "--auth-token-file"));
}

TEST_CASE("access: tokens on the command line are not shown to others on the machine") {
    Daemon daemon(std::vector<std::string>{"--auth-token=hidden-one", "--read-auth-token", "hidden-two"});
    const std::string shown = read_file("/proc/" + std::to_string(daemon.pid()) + "/cmdline");
    CHECK(contains(shown, "--auth-token="));
    CHECK_FALSE(contains(shown, "hidden"));
    CHECK(ping_error(daemon, "hidden-one").empty());
    CHECK(ping_error(daemon, "hidden-two").empty());
}

TEST_CASE("access: files are the daemon's own, or its group's") {
    const mode_t before = ::umask(0022);
    for (const bool group : {false, true}) {
        CAPTURE(group);
        DaemonOptions options;
        options.arguments = {group ? "--group-access=true" : "--group-access=false"};
        Daemon daemon(options);
        daemon.connect().call("counter.increment", counter("links", 1, 5));
        daemon.connect().call("snapshot.create_all");
        CHECK(modes_below(daemon.directory(), group ? 0640 : 0600, group ? 0750 : 0700) ==
              std::vector<std::string>{});
        const TempDir scratch;
        const std::string out = (scratch / "out").string();
        CHECK(run_program(karma_binary(), {"backup", out, "--port=" + std::to_string(daemon.port())})
                  .status.code == 0);
        CHECK(mode_of(out) == 0700);
        CHECK(modes_below(scratch.path(), 0600, 0700) == std::vector<std::string>{});
    }
    ::umask(before);
}

TEST_CASE("access: idempotency keys are not shown to who may only read") {
    Daemon daemon(std::vector<std::string>{"--auth-token=all", "--read-auth-token=read"});
    Client client = daemon.connect();
    json::object keyed = counter("links", 1, 5);
    keyed["idempotency_key"] = "secret-key";
    keyed["token"] = "all";
    REQUIRE(client.error_of("counter.increment", keyed).empty());
    const auto shows_key = [&](const std::string& op, json::object fields, const std::string& token) {
        fields["token"] = token;
        const json::value reply = client.call(op, fields);
        CAPTURE(boost::json::serialize(reply));
        // That there was one is no secret.
        CHECK(contains(boost::json::serialize(reply), "idempotency_created_at_unix"));
        return contains(boost::json::serialize(reply), "secret-key");
    };
    CHECK(shows_key("event.list", {}, "all"));
    CHECK_FALSE(shows_key("event.list", {}, "read"));
    CHECK(shows_key("replication.entries", {{"after_lsn", 0}}, "all"));
    CHECK_FALSE(shows_key("replication.entries", {{"after_lsn", 0}}, "read"));
    REQUIRE(client.error_of("snapshot.create_all", {{"token", "all"}}).empty());
    CHECK(client.error_of("idempotency.snapshot_fetch_chunk", {{"offset", 0}, {"token", "read"}}) ==
          "forbidden");
    CHECK(client.error_of("idempotency.snapshot_fetch_chunk", {{"offset", 0}, {"token", "all"}}).empty());
    // Who may only read does not get them by way of another one's export either.
    const json::value begun = client.call("export.begin", {{"token", "all"}});
    CHECK(client.error_of("export.fetch", {{"export_id", member(begun, "export_id")},
                                           {"file", "karma.idempotency.json"},
                                           {"token", "read"}}) == "forbidden");
}

TEST_CASE("access: an export with a token that may only read has no idempotency records, and says so") {
    Daemon daemon(std::vector<std::string>{"--auth-token=all", "--read-auth-token=read"});
    Client client = daemon.connect();
    for (const char* const series : {"links", "others"}) {
        json::object keyed = counter(series, 1, 5);
        keyed["idempotency_key"] = std::string("secret-key-of-") + series;
        keyed["token"] = "all";
        REQUIRE(client.error_of("counter.increment", keyed).empty());
    }
    const TempDir scratch;
    const std::string port = "--port=" + std::to_string(daemon.port());
    const auto out = [&](const char* name) { return (scratch / name).string(); };
    const ProgramResult whole = run_program(karma_binary(), {"export", out("whole"), port, "--token=all"});
    CHECK(whole.status.code == 0);
    CHECK(whole.standard_error == "");
    CHECK(contains(read_file(scratch / "whole" / "karma.idempotency.json"), "secret-key-of-links"));
    const ProgramResult hidden = run_program(karma_binary(), {"export", out("hidden"), port, "--token=read"});
    CHECK(hidden.status.code == 0);
    CHECK(contains(hidden.standard_error, "2 idempotency records left out"));
    CHECK_FALSE(contains(read_file(scratch / "hidden" / "karma.idempotency.json"), "secret-key"));
    const ProgramResult one =
        run_program(karma_binary(), {"export", out("one"), port, "--token=read", "--series=links"});
    CHECK(contains(one.standard_error, "1 idempotency record left out"));
    CHECK(
        run_program(karma_binary(), {"import", out("hidden"), "--directory", out("imported")}).status.code ==
        0);
    // A backup is whole, or there is none.
    const ProgramResult backup = run_program(karma_binary(), {"backup", out("backup"), port, "--token=read"});
    CHECK(backup.status.code == 1);
    CHECK(contains(backup.standard_error, "the token may only read"));
    CHECK_FALSE(std::filesystem::exists(scratch / "backup"));
}

}  // namespace karma::test
