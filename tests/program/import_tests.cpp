// Real data through `karma import`: every figure that is known of it, and imports that a crash of the daemon
// cuts short.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <random>
#include <string>
#include <thread>
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

void check_figures(Client client, const std::string& series, const json::value& expected) {
    for (const std::string& found : figure_differences(client, series, expected)) FAIL_CHECK(found);
}

// For replies that hold a whole series, and reads that take as long as they take.
const std::vector<std::string> roomy{"--max-response-bytes=268435456", "--query-timeout-ms=120000"};

}  // namespace

TEST_CASE("import: real data gives the known figures, before and after a crash") {
    const json::value expected = expected_figures();
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

    check_figures(daemon.connect(), "touches", expected);
    daemon.restart_after_kill();
    check_figures(daemon.connect(), "touches", expected);
    CHECK(daemon.stop(SIGTERM).code == 0);
    daemon.start();
    check_figures(daemon.connect(), "touches", expected);
}

namespace {

// One import after the other into one series, each cut short by a crash of the daemon, until all rows are in.
class InterruptedImports {
public:
    InterruptedImports()
        : daemon_(roomy), rows_(load_touches()), random_(random_engine("interrupted imports")) {}

    bool complete() const { return present_ == rows_.size(); }
    std::size_t crashes() const { return crashes_; }

    // Goes on where the series ends, and kills the daemon when about 1/parts of the rows that are left are in
    // it.
    void import_and_crash(std::uint64_t parts) {
        const std::uint64_t left = rows_.size() - present_;
        const std::uint64_t threshold = present_ + random_between(random_, 0, 2 * left / (parts + 1));
        const auto pause = std::chrono::microseconds(random_between(random_, 0, 3000));
        const std::uint64_t batch_items = random_between(random_, 20, 150);
        const TempDir output;
        Process import = start_import(batch_items, output);
        wait_for_total(threshold, import);
        std::this_thread::sleep_for(pause);
        daemon_.kill_hard();
        const ExitStatus status = import.wait(patience(std::chrono::seconds(60)));
        INFO(read_file(output / "output") << read_file(output / "error"));
        CHECK(status.signal == 0);
        if (status.code != 0) ++crashes_;
        daemon_.start();
        const auto acknowledged = read_acknowledged(read_file(output / "output"));
        REQUIRE(acknowledged);
        check_prefix(*acknowledged, batch_items, status.code == 0);
    }

    void import_rest() {
        const TempDir output;
        Process import = start_import(100, output);
        const ExitStatus status = import.wait(patience(std::chrono::seconds(60)));
        INFO(read_file(output / "output") << read_file(output / "error"));
        REQUIRE(status.code == 0);
        const auto acknowledged = read_acknowledged(read_file(output / "output"));
        REQUIRE(acknowledged);
        CHECK(acknowledged->rows == rows_.size() - present_);
        check_prefix(*acknowledged, 100, true);
    }

    void check_all(const json::value& expected) {
        check_figures(daemon_.connect(), "touches", expected);
        daemon_.restart_after_kill();
        check_figures(daemon_.connect(), "touches", expected);
    }

    void start_over() {
        daemon_.connect().call("tree.drop", {{"series", "touches"}});
        present_ = 0;
        model_ = {};
    }

private:
    Process start_import(std::uint64_t batch_items, const TempDir& output) const {
        std::vector<std::string> arguments = import_arguments(daemon_, "touches");
        arguments.push_back("--batch-items=" + std::to_string(batch_items));
        arguments.push_back("--from-line=" + std::to_string(present_ + first_data_line));
        return Process(karma_binary(), {.arguments = arguments,
                                        .environment = {},
                                        .standard_input = {},
                                        .standard_output = output / "output",
                                        .standard_error = output / "error",
                                        .open_files = {}});
    }

    static std::uint64_t total(Client& client) {
        const json::value reply = client.ask("tree.info", {{"series", "touches"}});
        if (member(reply, "error_code") == json::value("not_found")) return 0;
        return as_number(member(member(reply, "response"), "total"));
    }

    void wait_for_total(std::uint64_t threshold, Process& import) const {
        Client client = daemon_.connect();
        const auto deadline = std::chrono::steady_clock::now() + patience(std::chrono::seconds(60));
        while (total(client) < threshold && !import.poll()) {
            REQUIRE_MESSAGE(std::chrono::steady_clock::now() < deadline, "the import does not advance");
            std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
    }

    // The series holds exactly the first n batches, for one n from what was acknowledged up to all of them.
    void check_prefix(const Acknowledged& acknowledged, std::uint64_t batch_items, bool finished) {
        const std::uint64_t left = rows_.size() - present_;
        if (acknowledged.rows > 0)
            CHECK(acknowledged.last_line == present_ + acknowledged.rows + first_data_line - 1);
        CHECK(acknowledged.batches == (acknowledged.rows + batch_items - 1) / batch_items);
        CHECK((acknowledged.rows % batch_items == 0 || acknowledged.rows == left));

        Client client = daemon_.connect();
        const std::uint64_t now = total(client);  // of values that are all 1
        REQUIRE(now >= present_ + acknowledged.rows);
        REQUIRE(now <= rows_.size());
        CHECK_MESSAGE(((now - present_) % batch_items == 0 || now == rows_.size()),
                      "a part of a batch: " << now - present_ << " rows in batches of " << batch_items);
        if (finished) CHECK(now == rows_.size());
        model_.add(std::span(rows_).subspan(present_, now - present_));
        if (now > 0) REQUIRE(model_.difference(client, "touches") == "");
        present_ = now;
    }

    Daemon daemon_;
    std::vector<Touch> rows_;
    std::mt19937_64 random_;
    PointModel model_;
    std::uint64_t present_ = 0;  // rows in the series
    std::size_t crashes_ = 0;
};

}  // namespace

TEST_CASE("import: a crash at any moment loses no acknowledged batch and applies none twice") {
    const json::value expected = expected_figures();
    const std::size_t rounds = number_from_environment("KARMA_TEST_ROUNDS", scaled(20));
    InterruptedImports imports;
    for (std::size_t round = 0; round < rounds; ++round) {
        CAPTURE(round);
        if (imports.complete()) {
            imports.check_all(expected);
            imports.start_over();
        }
        imports.import_and_crash(rounds - round);
    }
    CHECK(imports.crashes() > 0);
    if (!imports.complete()) imports.import_rest();
    imports.check_all(expected);
}

TEST_CASE("import: a bad row names its line, and what was acknowledged before it stays") {
    const TempDir directory;
    write_file(directory / "rows.csv",
               "key,bucket,value\n1,20260101,5\n2,20260102,7\n3,20260230,1\n4,20260103,9\n");
    Daemon daemon;
    std::vector<std::string> arguments{"import", (directory / "rows.csv").string(), "--series=rows",
                                       "--port=" + std::to_string(daemon.port())};
    const ProgramResult stopped = run_program(karma_binary(), arguments);
    CHECK(stopped.status.code > 0);
    CHECK(stopped.standard_error.find('4') != std::string::npos);

    Client client = daemon.connect();
    client.ask("tree.drop", {{"series", "rows"}});
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
