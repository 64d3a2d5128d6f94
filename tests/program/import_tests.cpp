// Real data through `karma import`: every figure that is known of it. What goes wrong on the way is in
// import_again_tests.cpp.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/program/touches.h"
#include "tests/support/daemon.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

// Line 1 of the file is its heading.
constexpr std::uint64_t first_data_line = 2;

std::string data_file() { return test_file("data/file-touches.csv.gz").string(); }

// What the last line of `karma import` says.
struct Acknowledged {
    std::uint64_t rows = 0;
    std::uint64_t batches = 0;
    std::uint64_t last_line = 0;
};

std::optional<Acknowledged> read_acknowledged(const std::string& output) {
    const std::size_t end = output.find_last_not_of('\n');
    if (end == std::string::npos) return {};
    const std::size_t newline = output.rfind('\n', end);
    const std::string line = output.substr(newline == std::string::npos ? 0 : newline + 1);
    unsigned long long rows = 0;
    unsigned long long batches = 0;
    unsigned long long last_line = 0;
    // NOLINTNEXTLINE(cert-err34-c): all three numbers have to be found
    if (std::sscanf(line.c_str(), "acknowledged rows=%llu batches=%llu last_line=%llu", &rows, &batches,
                    &last_line) != 3) {
        return {};
    }
    return Acknowledged{.rows = rows, .batches = batches, .last_line = last_line};
}

std::vector<std::string> import_arguments(const Daemon& daemon, const std::string& series) {
    return {"import", data_file(), "--series=" + series, "--host=127.0.0.1",
            "--port=" + std::to_string(daemon.port())};
}

void check_statistics(Client client, const std::string& series, const json::value& expected) {
    for (const std::string& found : figure_differences(client, series, expected)) FAIL_CHECK(found);
}

}  // namespace

TEST_CASE("import: real data gives the known sums, before and after a crash") {
    const json::value expected = expected_statistics();
    Daemon daemon(
        {.arguments = {"--query-timeout-ms=120000"}, .environment = {}, .directory = {}, .open_files = {}});
    const ProgramResult result = run_program(karma_binary(), import_arguments(daemon, "touches"));
    INFO(result.standard_output << result.standard_error);
    REQUIRE(result.status.code == 0);

    const auto acknowledged = read_acknowledged(result.standard_output);
    REQUIRE(acknowledged);
    const std::uint64_t rows = as_number(member(expected, "rows"));
    CHECK(acknowledged->rows == rows);
    CHECK(acknowledged->last_line == rows + first_data_line - 1);
    CHECK(acknowledged->batches > 0);

    check_statistics(daemon.connect(), "touches", expected);
    daemon.restart_after_kill();
    check_statistics(daemon.connect(), "touches", expected);
    CHECK(daemon.stop(SIGTERM).code == 0);
    daemon.start();
    check_statistics(daemon.connect(), "touches", expected);
}

TEST_CASE("import: a bad row names its line, and nothing was sent before it") {
    const TempDir directory;
    write_file(directory / "rows.csv",
               "key,bucket,value\n1,20260101,5\n2,20260102,7\n3,20260230,1\n4,20260103,9\n");
    Daemon daemon;
    std::vector<std::string> arguments{"import", (directory / "rows.csv").string(), "--series=rows",
                                       "--port=" + std::to_string(daemon.port())};
    const ProgramResult stopped = run_program(karma_binary(), arguments);
    CHECK(stopped.status.code > 0);
    CHECK(stopped.standard_error.find("rows.csv:4: ") != std::string::npos);

    Client client = daemon.connect();
    CHECK(member(client.ask("tree.info", {{"series", "rows"}}), "error_code") == json::value("not_found"));
    arguments.emplace_back("--skip-bad");
    const ProgramResult skipped = run_program(karma_binary(), arguments);
    INFO(skipped.standard_output << skipped.standard_error);
    CHECK(skipped.status.code == 0);
    const auto acknowledged = read_acknowledged(skipped.standard_output);
    REQUIRE(acknowledged);
    CHECK(acknowledged->rows == 3);
    CHECK(as_number(member(client.call("tree.info", {{"series", "rows"}}), "total")) == 21);
}

}  // namespace karma::test
