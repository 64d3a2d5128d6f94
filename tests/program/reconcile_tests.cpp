// `karma reconcile`: a file of aggregates against a daemon.
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/support/daemon.h"
#include "tests/support/settings.h"
#include "tests/support/temp_dir.h"

namespace karma::test {

namespace {

/// A daemon with a series, and files to compare it with.
class Reconciling {
public:
    explicit Reconciling(const std::vector<std::string>& arguments = {}) : daemon_(arguments) {}

    Daemon& daemon() { return daemon_; }

    ProgramResult run(const std::string& csv, std::vector<std::string> options = {}) {
        const std::filesystem::path file = directory_ / "aggregates.csv";
        std::ofstream(file) << csv;
        return run_file(file, std::move(options));
    }
    ProgramResult run_file(const std::filesystem::path& file, std::vector<std::string> options = {}) {
        std::vector<std::string> arguments = {"reconcile", file.string(), "--series=links",
                                              "--port=" + std::to_string(daemon_.port())};
        arguments.insert(arguments.end(), options.begin(), options.end());
        return run_program(karma_binary(), arguments);
    }

private:
    TempDir directory_;
    Daemon daemon_;
};

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

json::object batch(const std::string& items) { return {{"series", "links"}, {"items", parse_json(items)}}; }

}  // namespace

TEST_CASE("reconcile: says where file and daemon differ, by its status too") {
    Reconciling setup;
    setup.daemon().connect().call("series.batch_add",
                                  batch("[[1,20260505,5],[1,20260506,7],[2,20260505,18446744073709551615]]"));
    const std::string same =
        "key,bucket,value\n1,2026-05-05,5\n2,20260505,18446744073709551615\n1,20260506,7\n";
    const ProgramResult agrees = setup.run(same, {"--report"});
    INFO(agrees.standard_output << agrees.standard_error);
    CHECK(agrees.status.code == 0);
    CHECK(has(agrees.standard_output, "points checked      3\nmismatches          0\n"));
    CHECK(setup.run("1,20260505,2\n1,20260505,3\n").status.code == 0);  // rows of one bucket add up
    CHECK(setup.run("1,20260507,0\n").status.code == 0);

    const std::string other = "1,20260505,6\n1,20260507,2\n2,20260505,0\n3,20260505,4\n1,20260506,7\n";
    const ProgramResult differs = setup.run(other, {"--report", "--limit=2"});
    INFO(differs.standard_output << differs.standard_error);
    CHECK(differs.status.code == 1);
    CHECK(has(differs.standard_output,
              "                   1  20260505                    6                    5"
              "                    -1\n"));
    CHECK(has(differs.standard_output, "... and 2 more differences"));
    CHECK(has(differs.standard_output,
              "points checked      5\nmismatches          4\n"
              "absolute drift      18446744073709551622\n"
              "largest difference  18446744073709551615\n"));
    const json::value stats = setup.daemon().connect().call("system.stats");
    CHECK(stats.at("reconciliation_run_count") == 2);
    CHECK(stats.at("reconciliation_last_checked_points") == 5);
    CHECK(stats.at("reconciliation_last_mismatch_count") == 4);
    CHECK(stats.at("reconciliation_last_absolute_drift") == 18446744073709551615U);
    // A second report of that size does not begin the sum again.
    CHECK(setup.run(other, {"--report"}).status.code == 1);
    const json::value sums = setup.daemon().connect().call("system.stats");
    CHECK(sums.at("reconciliation_absolute_drift") == 18446744073709551615U);
    CHECK(sums.at("reconciliation_checked_points") == 13);
    CHECK(sums.at("reconciliation_mismatch_count") == 8);
}

TEST_CASE("reconcile: a file without rows agrees with nothing") {
    Reconciling setup;
    setup.daemon().connect().call("series.batch_add", batch("[[1,20260505,5]]"));
    for (const std::string csv : {"", "\n\n", "key,bucket,value\n"}) {
        const ProgramResult result = setup.run(csv, {"--report"});
        CAPTURE(csv);
        CHECK(result.status.code == 4);
        CHECK(result.standard_output.empty());
        CHECK(has(result.standard_error, "aggregates.csv: no rows, so nothing was compared"));
    }
    CHECK(setup.daemon().connect().call("system.stats").at("reconciliation_run_count") == 0);
}

TEST_CASE("reconcile: agrees with what was imported, over more replies than one") {
    // So small that each key's days have to be asked for in parts.
    Reconciling setup({"--max-response-bytes=400"});
    const std::string port = "--port=" + std::to_string(setup.daemon().port());
    const std::string file = test_file("data/file-touches.csv.gz").string();
    CHECK(run_program(karma_binary(), {"import", file, "--series=links", port, "--quiet"}).status.code == 0);
    const ProgramResult agrees = setup.run_file(file);
    INFO(agrees.standard_output << agrees.standard_error);
    CHECK(agrees.status.code == 0);
    setup.daemon().connect().call("counter.increment",
                                  {{"series", "links"}, {"key", 0}, {"bucket", 20260505}});
    setup.daemon().connect().call("tree.delete_range",
                                  {{"series", "links"}, {"range", {{"from", 10101}, {"to", 20200101}}}});
    CHECK(setup.run_file(file).status.code == 1);
}

TEST_CASE("reconcile: what cannot be compared is no difference") {
    Reconciling setup({"--auth-token=secret"});
    const auto status = [&](const std::string& csv, const std::vector<std::string>& options,
                            const std::string& message) {
        const ProgramResult result = setup.run(csv, options);
        CAPTURE(result.standard_error);
        CHECK(has(result.standard_error, message));
        CHECK(!has(result.standard_error, "secret"));
        return result.status.code;
    };
    const std::vector<std::string> token = {"--token=secret"};
    CHECK(status("1,20260505,1\n", {}, "unauthorized") == 4);
    CHECK(status("1,20260505,1\n", token, "not_found") == 4);
    CHECK(status("1,20260505,1\n1,20260230,1\n", token, "aggregates.csv:2: bucket") == 4);
    CHECK(status("1,20260505,18446744073709551615\n1,20260505,1\n", token, "more than 2^64-1") == 4);
    CHECK(status("", {"--limit=x"}, "limit") == 2);
    CHECK(status("", {"more.csv"}, "more.csv") == 2);
    CHECK(setup.run_file("/nowhere/file.csv", token).status.code == 4);
    setup.daemon().stop(SIGTERM);
    CHECK(status("1,20260505,1\n", token, "127.0.0.1") == 3);
}

}  // namespace karma::test
