// The configuration file of a running daemon.
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/support/comes_true.h"
#include "tests/support/daemon.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

void write_text(const std::filesystem::path& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
    std::filesystem::permissions(path,
                                 std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

ProgramResult karma_in(const std::filesystem::path& directory, const std::string& arguments) {
    return run_program("/bin/sh", {"-c", "cd '" + directory.string() + "' && exec '" +
                                             karma_binary().string() + "' " + arguments});
}

}  // namespace

TEST_CASE("config: a daemon takes its file, and its log says which") {
    const TempDir directory;
    const std::filesystem::path path = directory.path() / "karma.toml";
    write_text(path, "auth_token = \"secret\"\nlog = true\n[limits]\nmax_request_bytes = 300\n");
    Daemon daemon(DaemonOptions{.arguments = {"--config=" + path.string(), "--log=true"},
                                .environment = {},
                                .directory = {},
                                .open_files = {}});
    CHECK(daemon.connect().error_of("system.ping") == "unauthorized");
    CHECK(daemon.connect().error_of("system.ping", {{"token", "secret"}}).empty());
    CHECK(member(daemon.connect().ask_line(std::string(301, ' ')), "error_code") ==
          json::value("request_too_large"));
    CHECK(daemon.stop().code == 0);
    CHECK(contains(daemon.standard_output(),
                   R"("event":"configuration_file","path":")" + path.string() + "\""));
}

TEST_CASE("config: karma.toml in the working directory counts where no other file is named") {
    const TempDir directory;
    CHECK(karma_in(directory.path(), "--check-config").standard_output == "ok: no configuration file\n");
    write_text(directory.path() / "karma.toml", "port = 4711\n");
    write_text(directory.path() / "other.toml", "port = 4712\n");
    CHECK(karma_in(directory.path(), "--check-config").standard_output == "ok: karma.toml\n");
    CHECK(contains(karma_in(directory.path(), "serve --print-config").standard_output, "\nport = 4711\n"));
    CHECK(contains(karma_in(directory.path(), "--print-config --config other.toml").standard_output,
                   "\nport = 4712\n"));
    CHECK(contains(karma_in(directory.path(), "--print-config --port=5").standard_output, "\nport = 5\n"));
    write_text(directory.path() / "karma.toml", "prot = 4711\n");
    const ProgramResult wrong = karma_in(directory.path(), "");
    CHECK(wrong.status.code == 2);
    CHECK(contains(wrong.standard_error,
                   "karma: karma.toml:1: prot is no option: the nearest known one is port\n"));
}

TEST_CASE("config: SIGHUP reads tokens and the log level again, and a bad file changes nothing") {
    const TempDir directory;
    const std::filesystem::path path = directory.path() / "karma.toml";
    const auto write_tokens = [&](const std::string& token, const std::string& rest) {
        write_text(path, "[[token]]\nname = 'a'\ntoken = '" + token +
                             "'\naccess = 'write'\nseries = ['shop.*']\n" + rest);
    };
    write_tokens("first", "");
    Daemon daemon(DaemonOptions{.arguments = {"--config=" + path.string(), "--log=true"},
                                .environment = {},
                                .directory = {},
                                .open_files = {}});
    Client client = daemon.connect();
    const auto increment = [&](const std::string& token, const std::string& series) {
        return client.error_of("counter.increment", {{"series", series}, {"key", 1}, {"token", token}});
    };
    CHECK(increment("first", "shop.a").empty());
    CHECK(increment("first", "other") == "forbidden");
    CHECK(increment("wrong", "shop.a") == "unauthorized");
    CHECK(client.error_of("replication.promote", {{"token", "first"}}) == "forbidden");
    CHECK(client.error_of("snapshot.load", {{"token", "first"}, {"file", "a.tree"}}) == "forbidden");
    write_tokens("second", "[limits]\nmax_series = 5\n[log]\nlevel = 'debug'\n");
    daemon.send_signal(SIGHUP);
    REQUIRE(comes_true([&] { return contains(daemon.standard_output(), R"("event":"reloaded")"); }));
    CHECK(increment("first", "shop.a") == "unauthorized");
    CHECK(increment("second", "shop.a").empty());
    CHECK(contains(daemon.standard_error(), R"("event":"needs_restart","option":"--max-series")"));
    CHECK_FALSE(contains(daemon.standard_output(), R"("level":"debug")"));
    CHECK(daemon.connect().error_of("system.ping", {{"token", "second"}}).empty());
    CHECK(comes_true([&] { return contains(daemon.standard_output(), R"("level":"debug")"); }));
    write_tokens("third", "prot = 1\n");
    daemon.send_signal(SIGHUP);
    REQUIRE(comes_true([&] { return contains(daemon.standard_error(), R"("event":"reload_failed")"); }));
    CHECK(contains(daemon.standard_error(), path.string() + ":6: "));
    CHECK(increment("second", "shop.a").empty());
    CHECK(increment("third", "shop.a") == "unauthorized");
}

TEST_CASE("config: --check-config ends with status 0, or 1 and what is wrong") {
    const TempDir directory;
    const std::string path = (directory.path() / "k.toml").string();
    const auto check = [&](const std::string& text, const std::string& arguments = "") {
        write_text(path, text);
        return karma_in(directory.path(), "serve --check-config --config='" + path + "' " + arguments);
    };
    const ProgramResult good = check("[log]\nlevel = 'debug'\n");
    CHECK(good.status.code == 0);
    CHECK(good.standard_output == "ok: " + path + "\n");
    CHECK(good.standard_error == "");
    for (const std::string bad :
         {"port = 'x'\n", "port = 70000\n", "auth_token_file = '/nowhere/at/all'\n", "[nothing]\n", "port"}) {
        CAPTURE(bad);
        const ProgramResult result = check(bad);
        CHECK(result.status.code == 1);
        CHECK(result.standard_output == "");
        CHECK(result.standard_error.starts_with("karma: "));
    }
    CHECK(check("", "--port=none").status.code == 1);
    CHECK(check("", "--no-such-option").status.code == 1);
    CHECK(check("replication_min_acks = 1\nwal = false\n").status.code == 1);
    CHECK(karma_in(directory.path(), "--check-config --config=/").status.code == 1);
}

}  // namespace karma::test
