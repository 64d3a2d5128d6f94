// `karma import DIR`: what a directory of Karma 1.0 must not hold, and the options.
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/program/counter.h"
#include "tests/program/karma1_directory.h"
#include "tests/support/daemon.h"
#include "tests/support/settings.h"
#include "tests/support/temp_dir.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

ProgramResult imported(const std::vector<std::string>& arguments) {
    ProgramResult result = run_program(karma_binary(), arguments);
    CAPTURE(result.standard_error);
    REQUIRE(result.status == ExitStatus{0, 0});
    return result;
}

std::uint64_t sum_of_18(Client& client) {
    return as_number(client.call("counter.sum", {{"series", "links"}, {"key", 18}}));
}

}  // namespace

TEST_CASE("moving: a directory without files of Karma 1.0 is refused, and nothing is made") {
    const TempDir old;
    write_file(old / "notes.txt", "nothing of Karma");
    const ProgramResult result = run_program(karma_binary(), {"import", old.path().string()});
    CAPTURE(result.standard_error);
    CHECK(result.status.code == 1);
    CHECK(contains(result.standard_error, old.path().string() + " has no files of Karma 1.0"));
    CHECK_FALSE(std::filesystem::exists(old / "karma.db"));
}

TEST_CASE("moving: an LSN that leaves no room for the next ones is refused, wherever it stands") {
    // The highest that is taken over, and the two ends of what is above.
    constexpr std::uint64_t highest = 9'223'372'036'854'775'807U;
    for (const std::uint64_t lsn : {highest, highest + 1, 18'446'744'073'709'551'615U}) {
        CAPTURE(lsn);
        for (const std::string place : {"karma.wal.lsn", "karma.wal", "1700000000_links.tree.meta.json"}) {
            CAPTURE(place);
            const TempDir old;
            write_file(old / "1700000000_links.tree", tree_of_18('\x01'));
            const std::string file_lsn = std::to_string(place.ends_with(".json") ? lsn : 1);
            write_file(
                old / "1700000000_links.tree.meta.json",
                R"({"tree":"links","file":"1700000000_links.tree","timestamp":1700000000,"last_lsn":)" +
                    file_lsn + R"(,"bytes":57})");
            if (place == "karma.wal") {
                write_file(old / place, increment(lsn, "links", 1));
            } else if (place == "karma.wal.lsn") {
                write_file(old / place, std::to_string(lsn) + "\n");
            }
            const ProgramResult result = run_program(karma_binary(), {"import", old.path().string()});
            CAPTURE(result.standard_error);
            if (lsn == highest) {
                REQUIRE(result.status.code == 0);
                DaemonOptions options;
                options.directory = old.path();
                Daemon daemon(options);
                daemon.connect().call("counter.increment", counter("links", 18, 1));
                daemon.restart_after_kill();
                Client client = daemon.connect();
                CHECK(sum_of_18(client) == (place == "karma.wal" ? 3 : 2));
                CHECK(as_number(member(client.call("snapshot.info"), "wal_current_lsn")) == highest + 1);
                CHECK(member(client.call("snapshot.verify"), "status") == json::value("ok"));
            } else {
                CHECK(result.status.code == 1);
                CHECK(contains(result.standard_error, place));
                CHECK(contains(result.standard_error, "LSN " + std::to_string(lsn) + " is above"));
                CHECK_FALSE(std::filesystem::exists(old / "karma.db"));
            }
        }
    }
}

TEST_CASE("moving: times that cannot be true do not stop an import") {
    const TempDir old;
    write_file(old / "karma.wal",
               increment(1, "links", 1,
                         R"(,"idempotency_key":"k","idempotency_created_at_unix":9223372036854775807)"));
    write_file(old / "recovery.json",
               R"({"checkpoints":[{"source":"kafka","offset":"7","updated_at_unix":1e300}]})");
    const ProgramResult refused = run_program(karma_binary(), {"import", old.path().string()});
    CAPTURE(refused.standard_error);
    CHECK(refused.status.code == 1);
    CHECK(contains(refused.standard_error, "recovery.json: a checkpoint without source or updated_at_unix"));
    std::filesystem::remove(old / "recovery.json");
    imported({"import", old.path().string()});
    DaemonOptions options;
    options.directory = old.path();
    Daemon daemon(options);
    Client client = daemon.connect();
    CHECK(sum_of_18(client) == 1);
    // The record counts from the log file's time, so that it is kept.
    json::object repeat = counter("links", 18, 1);
    repeat["idempotency_key"] = "k";
    client.call("counter.increment", repeat);
    CHECK(sum_of_18(client) == 1);
}

TEST_CASE("moving: options of karma import stand before and behind the directory") {
    const TempDir old;
    write_file(old / "karma.wal", increment(1, "links", 7));
    const TempDir scratch;
    const auto run = [&](const std::string& target, std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), "import");
        for (std::string& argument : arguments) {
            if (argument == "TARGET") argument = (scratch / target).string();
            if (argument == "DIR") argument = old.path().string();
        }
        return imported(arguments).standard_output;
    };
    std::filesystem::create_directory(scratch / "a");
    CHECK(run("a", {"--json", "DIR", "--directory=" + (scratch / "a").string()}).starts_with("{"));
    std::filesystem::create_directory(scratch / "b");
    CHECK(run("b", {"--directory", "TARGET", "--json", "DIR"}).starts_with("{"));
    CHECK(run("c", {"--json", "--directory", "TARGET", "--", "DIR"}).starts_with("{"));
    CHECK(run("d", {"DIR", "--directory", "TARGET", "--json"}).starts_with("{"));
    CHECK(contains(run_program(karma_binary(), {"import", "--help", old.path().string()}).standard_output,
                   "[options] DIR"));
}

}  // namespace karma::test
