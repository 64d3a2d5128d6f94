// Whose data directory it is: one daemon's at a time, and only of a format that it knows.
#include <filesystem>
#include <string>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include "tests/support/comes_true.h"
#include "tests/support/daemon.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

// Starts a daemon that is expected to refuse the directory.
ProgramResult start_on(const std::filesystem::path& directory) {
    const ReservedPort port;
    return run_program(karma_binary(), {"--bind=127.0.0.1", "--port=" + std::to_string(port.number()),
                                        "--directory=" + directory.string(), "--log=false"});
}

bool starts_with_failed(const json::value& health) {
    return std::string(member(health, "status").as_string()).starts_with("failed: ");
}

}  // namespace

TEST_CASE("directory: a second daemon on it is refused and told which directory; the first goes on") {
    Daemon daemon;
    Client client = daemon.connect();
    client.call("counter.increment", {{"series", "a"}, {"key", 1}, {"value", 5}});
    const ProgramResult second = start_on(daemon.directory());
    CAPTURE(second.standard_error);
    CHECK(second.status.code > 0);
    CHECK(contains(second.standard_error, daemon.directory().string()));
    CHECK(contains(second.standard_error, "another process (pid " + std::to_string(daemon.pid()) + ")"));
    CHECK(client.call("counter.increment", {{"series", "a"}, {"key", 1}, {"value", 5}}) == json::value(5));

    // The lock ends with the process, however that ended.
    daemon.restart_after_kill();
    CHECK(as_number(daemon.connect().call("counter.sum", {{"series", "a"}, {"key", 1}})) == 10);
}

TEST_CASE("directory: one with files of Karma 1.0 and no database is refused and left as it is") {
    for (const std::string name :
         {"1700000000_links.tree", "karma.wal", "karma.wal.00000000000000000001.segment"}) {
        CAPTURE(name);
        const TempDir directory;
        write_file(directory / name, "content of another program");
        for (int attempt = 0; attempt < 2; ++attempt) {
            const ProgramResult result = start_on(directory.path());
            CAPTURE(result.standard_error);
            CHECK(result.status.code > 0);
            CHECK(contains(result.standard_error, directory.path().string()));
            CHECK(contains(result.standard_error, "1.0"));
            CHECK(read_file(directory / name) == "content of another program");
        }
    }
}

TEST_CASE("directory: files of Karma 1.0 beside a database are no hindrance") {
    Daemon daemon;
    daemon.connect().call("counter.increment", {{"series", "a"}, {"key", 1}});
    write_file(daemon.directory() / "1700000000_links.tree", "an export");
    daemon.restart_after_kill();
    CHECK(as_number(daemon.connect().call("counter.sum", {{"series", "a"}, {"key", 1}})) == 1);
}

TEST_CASE("directory: one that cannot be used is named") {
    const TempDir directory;
    write_file(directory / "file", "no directory");
    const ProgramResult result = start_on(directory / "file");
    CAPTURE(result.standard_error);
    CHECK(result.status.code > 0);
    CHECK(contains(result.standard_error, (directory / "file").string()));
}

TEST_CASE("directory: one that is removed while it is used takes no more writes, and that is said") {
    for (const char* const wal : {"--wal=true", "--wal=false"}) {
        CAPTURE(wal);
        const TempDir scratch;
        DaemonOptions options;
        options.arguments = {wal};
        options.directory = scratch / "data";
        Daemon daemon(options);
        Client client = daemon.connect();
        client.call("counter.increment", {{"series", "a"}, {"key", 1}});
        std::filesystem::remove_all(scratch / "data");
        REQUIRE(comes_true([&] { return starts_with_failed(client.call("system.health")); }));
        CHECK(client.error_of("counter.increment", {{"series", "a"}, {"key", 1}}) == "internal_error");
        CHECK(as_number(client.call("counter.sum", {{"series", "a"}, {"key", 1}})) == 1);
        CHECK(as_number(member(client.call("system.stats"), "data_directory_lost")) == 1);
        CHECK(contains(std::string(client.call("system.metrics").as_string()),
                       "\nkarma_data_directory_lost 1\n"));
        const ProgramResult asked =
            run_program(karma_binary(), {"call", "--port=" + std::to_string(daemon.port()), "system.health"});
        CHECK(asked.status.code == 1);
        CHECK(contains(asked.standard_output, "was removed"));
        CHECK(daemon.stop().code == 1);
        CHECK(contains(daemon.standard_error(), "\"data_directory_failed\""));
        CHECK(contains(daemon.standard_error(), "was removed or renamed"));
    }
}

TEST_CASE("directory: another one in the place of the one that is used is noticed") {
    const TempDir scratch;
    DaemonOptions options;
    options.directory = scratch / "data";
    Daemon daemon(options);
    std::filesystem::rename(scratch / "data", scratch / "moved");
    std::filesystem::copy(scratch / "moved", scratch / "data", std::filesystem::copy_options::recursive);
    Client client = daemon.connect();
    CHECK(comes_true([&] { return starts_with_failed(client.call("system.health")); }));
    CHECK(client.error_of("counter.increment", {{"series", "a"}, {"key", 1}}) == "internal_error");
    CHECK(daemon.stop().code == 1);
}

TEST_CASE("directory: one where no file can be made any more is told of, until it can") {
    if (::geteuid() == 0) {
        MESSAGE("not tried: nothing is read-only for root");
        return;
    }
    Daemon daemon;
    Client client = daemon.connect();
    const auto status = [&] {
        return std::string(member(client.call("system.health"), "status").as_string());
    };
    std::filesystem::permissions(daemon.directory() / "karma.db", std::filesystem::perms(0500));
    CHECK(comes_true([&] { return status().starts_with("degraded: no file can be made in "); }));
    std::filesystem::permissions(daemon.directory() / "karma.db", std::filesystem::perms(0700));
    CHECK(comes_true([&] { return status() == "ok"; }));
    CHECK(daemon.stop().code == 0);
}

TEST_CASE("directory: a port that is taken is named, and the directory stays free") {
    Daemon daemon;
    const TempDir directory;
    const ProgramResult result =
        run_program(karma_binary(), {"--bind=127.0.0.1", "--port=" + std::to_string(daemon.port()),
                                     "--directory=" + directory.path().string(), "--log=false"});
    CAPTURE(result.standard_error);
    CHECK(result.status.code > 0);
    CHECK(contains(result.standard_error, std::to_string(daemon.port())));
    CHECK(daemon.connect().call("system.ping") == json::value("pong"));
}

TEST_CASE("directory: --restore=false puts nothing aside where the port is taken") {
    Daemon daemon;
    Daemon other;
    other.connect().call("counter.increment", {{"series", "a"}, {"key", 1}});
    REQUIRE(other.stop().code == 0);
    for (int attempt = 0; attempt < 2; ++attempt) {
        const ProgramResult result = run_program(
            karma_binary(), {"--bind=127.0.0.1", "--port=" + std::to_string(daemon.port()),
                             "--directory=" + other.directory().string(), "--restore=false", "--log=false"});
        CHECK(result.status.code == 1);
        CHECK(contains(result.standard_error, std::to_string(daemon.port())));
    }
    for (const auto& entry : std::filesystem::directory_iterator(other.directory())) {
        CHECK_FALSE(entry.path().filename().string().starts_with("karma.db."));
    }
    other.start();
    CHECK(as_number(other.connect().call("counter.sum", {{"series", "a"}, {"key", 1}})) == 1);
}

TEST_CASE("directory: one in a place that is not there is refused, and nothing is made") {
    const TempDir scratch;
    const ProgramResult result = start_on(scratch / "mistyped" / "karma");
    CHECK(result.status.code == 1);
    CHECK(contains(result.standard_error, "--directory " + (scratch / "mistyped" / "karma").string()));
    CHECK(contains(result.standard_error, "there is no directory " + (scratch / "mistyped").string()));
    CHECK_FALSE(std::filesystem::exists(scratch / "mistyped"));
    // Only the last part is made, also with a slash behind it.
    DaemonOptions options;
    options.directory = scratch / "new/";
    options.arguments = {"--log=true"};
    Daemon daemon(options);
    CHECK(daemon.stop().code == 0);
    CHECK(std::filesystem::exists(scratch / "new" / "karma.db"));
    CHECK(contains(daemon.standard_output(), "\"empty_database\""));
}

TEST_CASE("directory: a copy of one that is used is told to be short, at its start and by karma verify") {
    const auto copy = [](const Daemon& daemon, const std::filesystem::path& to) {
        std::filesystem::create_directory(to);
        std::filesystem::copy(daemon.directory() / "karma.db", to / "karma.db",
                              std::filesystem::copy_options::recursive);
    };
    const auto warning_of = [](const std::filesystem::path& directory) {
        const ProgramResult verified = run_program(karma_binary(), {"verify", directory.string()});
        CHECK(verified.status.code == 0);
        DaemonOptions options;
        options.directory = directory;
        Daemon daemon(options);
        CHECK(daemon.stop().code == 0);
        const bool is_told = contains(daemon.standard_error(), "that were acknowledged may be missing");
        CHECK(contains(verified.standard_output, "that were acknowledged may be missing") == is_told);
        return is_told;
    };
    const TempDir scratch;
    Daemon daemon;
    daemon.connect().call("counter.increment", {{"series", "a"}, {"key", 1}});
    copy(daemon, scratch / "of running");
    REQUIRE(daemon.stop().code == 0);
    copy(daemon, scratch / "of stopped");
    CHECK(warning_of(scratch / "of running"));
    CHECK_FALSE(warning_of(scratch / "of stopped"));
    // What was killed in its own place is no copy.
    daemon.start();
    daemon.kill_hard();
    CHECK_FALSE(warning_of(daemon.directory()));
}

}  // namespace karma::test
