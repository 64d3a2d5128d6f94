// Whose data directory it is: one daemon's at a time, and only of a format that it knows.
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

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

}  // namespace karma::test
