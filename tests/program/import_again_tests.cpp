// `karma import` counts exactly once: whatever went wrong, the same command run again completes the work.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "tests/program/touches.h"
#include "tests/support/daemon.h"
#include "tests/support/settings.h"
#include "tests/support/temp_dir.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

constexpr std::uint64_t value_max = 18'446'744'073'709'551'615U;

/// The numbers of the last line of `karma import`, by their names; empty when it wrote no such line.
std::map<std::string, std::uint64_t> numbers_of(const std::string& output) {
    std::map<std::string, std::uint64_t> numbers;
    const std::size_t begin = output.rfind("acknowledged rows=");
    if (begin == std::string::npos) return numbers;
    std::istringstream words(output.substr(begin));
    for (std::string word; words >> word;) {
        const std::size_t equals = word.find('=');
        if (equals == std::string::npos || word.starts_with("import_id=")) continue;
        numbers[word.substr(0, equals)] = std::stoull(word.substr(equals + 1));
    }
    return numbers;
}

/// Rows in a file, and what a series holds once all of them were added once.
class RowFile {
public:
    explicit RowFile(std::vector<Touch> rows) : rows_(std::move(rows)) {
        std::string csv = "key,bucket,value\n";
        for (const Touch& row : rows_) {
            csv += std::to_string(row.key) + ',' + std::to_string(row.bucket) + ',' +
                   std::to_string(row.value) + '\n';
        }
        write_file(path(), csv);
        model_.add(rows_);
    }

    std::string path() const { return (directory_ / "rows.csv").string(); }
    std::size_t size() const { return rows_.size(); }
    const PointModel& model() const { return model_; }

private:
    TempDir directory_;
    std::vector<Touch> rows_;
    PointModel model_;
};

/// Rows of value 1.
RowFile some_rows(std::size_t count, const std::string& purpose) {
    auto random = random_engine(purpose);
    std::vector<Touch> rows(count);
    for (Touch& row : rows) {
        row = {random_between(random, 0, 2'000),
               static_cast<std::uint32_t>(20260501 + random_between(random, 0, 27)), 1};
    }
    return RowFile(std::move(rows));
}

std::uint64_t total_of(const Daemon& daemon, const std::string& series) {
    const json::value reply = daemon.connect().ask("tree.info", {{"series", series}});
    if (member(reply, "error_code") == json::value("not_found")) return 0;
    return as_number(member(member(reply, "response"), "total"));
}

std::vector<std::string> import_arguments(const Daemon& daemon, const std::string& file,
                                          const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"import", file, "--series=rows",
                                       "--port=" + std::to_string(daemon.port())};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
}

ProgramResult import(const Daemon& daemon, const std::string& file,
                     const std::vector<std::string>& more = {}) {
    return run_program(karma_binary(), import_arguments(daemon, file, more));
}

/// An import that runs beside the test.
class RunningImport {
public:
    RunningImport(const Daemon& daemon, const std::string& file, const std::vector<std::string>& more)
        : process_(karma_binary(), {.arguments = import_arguments(daemon, file, more),
                                    .environment = {},
                                    .standard_input = {},
                                    .standard_output = output_ / "output",
                                    .standard_error = output_ / "error",
                                    .open_files = {}}) {}

    Process& process() { return process_; }
    std::string output() const { return read_file(output_ / "output"); }
    std::string error() const { return read_file(output_ / "error"); }

    /// Until the series has so much, or the import has ended.
    void wait_for_total(const Daemon& daemon, std::uint64_t total) {
        const auto deadline = std::chrono::steady_clock::now() + patience(std::chrono::seconds(60));
        while (total_of(daemon, "rows") < total && !process_.poll()) {
            REQUIRE_MESSAGE(std::chrono::steady_clock::now() < deadline, "the import does not advance");
            std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
    }

private:
    TempDir output_;
    Process process_;
};

// For replies that hold a whole series, and reads that take as long as they take.
const std::vector<std::string> roomy{"--max-response-bytes=268435456", "--query-timeout-ms=120000"};

/// One command, again and again, while the daemon, the importer or both are killed, until it has succeeded.
class RepeatedImport {
public:
    RepeatedImport(std::mt19937_64& random, const RowFile& file)
        : random_(random), file_(file), daemon_(roomy) {
        options_ = {"--batch-items=" + std::to_string(random_between(random_, 10, 200)),
                    "--in-flight=" + std::to_string(random_between(random_, 1, 64))};
        if (one_in(random_, 3)) options_.emplace_back("--import-id=night run");
    }

    void run_until_done() {
        for (int attempt = 0; attempt < 12; ++attempt) {
            CAPTURE(attempt);
            if (disturbed_run()) break;
        }
        const ProgramResult last = import(daemon_, file_.path(), options_);
        INFO(last.standard_output << last.standard_error);
        REQUIRE(last.status.code == 0);
        CHECK(numbers_of(last.standard_output).at("rows") == file_.size());
        check_exact();
        // Once more adds nothing, and the crash of a daemon takes nothing back.
        const ProgramResult again = import(daemon_, file_.path(), options_);
        CHECK(again.status.code == 0);
        CHECK(contains(again.standard_error, "nothing was added"));
        CHECK(numbers_of(again.standard_output).at("applied") == 0);
        CHECK(numbers_of(again.standard_output).at("skipped") == file_.size());
        daemon_.restart_after_kill();
        check_exact();
    }

private:
    enum class Disturbance { kill_daemon, restart_daemon, kill_importer, interrupt_importer, kill_both };

    /// Returns whether the import has succeeded all the same.
    bool disturbed_run() {
        const std::uint64_t before = total_of(daemon_, "rows");
        const auto how = static_cast<Disturbance>(random_between(random_, 0, 4));
        const bool comes_back = how == Disturbance::restart_daemon;
        std::vector<std::string> options = options_;
        options.emplace_back(comes_back ? "--timeout=60" : "--timeout=1");
        RunningImport running(daemon_, file_.path(), options);
        // A signal that comes before the program has begun would meet the handlers of the test.
        const std::uint64_t least = how == Disturbance::interrupt_importer ? 1 : 0;
        const std::uint64_t most = std::max(least, (file_.size() - before) / 2);
        running.wait_for_total(daemon_, before + random_between(random_, least, most));
        std::this_thread::sleep_for(std::chrono::microseconds(random_between(random_, 0, 3'000)));
        if (how == Disturbance::interrupt_importer) running.process().send_signal(SIGINT);
        if (how == Disturbance::kill_importer || how == Disturbance::kill_both) running.process().kill_hard();
        const bool kills_daemon = how != Disturbance::interrupt_importer && how != Disturbance::kill_importer;
        if (kills_daemon) daemon_.kill_hard();
        if (comes_back) daemon_.start();
        const ExitStatus status = running.process().wait(patience(std::chrono::seconds(60)));
        if (kills_daemon && !comes_back) daemon_.start();
        INFO(running.output() << running.error());
        constexpr int no_connection = 3;  // it was killed before the importer had connected at all
        if (comes_back) CHECK((status.code == 0 || status.code == no_connection));
        check_what_it_says(running.output(), before);
        may_grow_ = how == Disturbance::kill_importer;
        return status.code == 0;
    }

    void check_what_it_says(const std::string& output, std::uint64_t before) {
        const auto said = numbers_of(output);
        if (said.empty()) return;  // it was killed
        const std::uint64_t now = total_of(daemon_, "rows");
        CHECK(said.at("rows") == said.at("applied") + said.at("skipped"));
        CHECK(now >= before + said.at("applied"));
        if (!may_grow_) CHECK(now <= before + said.at("applied") + said.at("unknown"));
        if (said.at("unknown") == 0 && said.at("skipped") + said.at("applied") >= before) {
            CHECK(now == said.at("rows"));
        }
    }

    void check_exact() {
        Client client = daemon_.connect();
        CHECK(total_of(daemon_, "rows") == file_.size());
        REQUIRE(file_.model().difference(client, "rows") == "");
    }

    std::mt19937_64& random_;
    const RowFile& file_;
    Daemon daemon_;
    std::vector<std::string> options_;
    bool may_grow_ = false;  // the daemon may still read what an importer had sent that was killed
};

}  // namespace

TEST_CASE("import: the same command again completes it, after kills of the daemon and of the importer") {
    auto random = random_engine("repeated imports");
    const RowFile file = some_rows(20'000, "rows of repeated imports");
    const std::size_t rounds = number_from_environment("KARMA_TEST_ROUNDS", scaled(6));
    for (std::size_t round = 0; round < rounds; ++round) {
        CAPTURE(round);
        RepeatedImport(random, file).run_until_done();
    }
}

TEST_CASE("import: after a refused batch the same command goes on with it") {
    // The bucket of one row has no room, in the middle of 20,000.
    std::vector<Touch> rows(20'000);
    for (std::size_t at = 0; at < rows.size(); ++at) rows[at] = {at % 3'000, 20260505, 1};
    constexpr std::uint64_t full_key = 1'000'000;
    rows[11'000] = {full_key, 20260505, 1};
    const RowFile file(rows);
    Daemon daemon;
    Client client = daemon.connect();
    client.call("counter.increment",
                {{"series", "rows"}, {"key", full_key}, {"bucket", 20260505}, {"value", value_max}});
    const ProgramResult refused = import(daemon, file.path());
    INFO(refused.standard_output << refused.standard_error);
    CHECK(refused.status.code == 1);
    CHECK(contains(refused.standard_error, "validation_error"));
    const auto said = numbers_of(refused.standard_output);
    CHECK(said.at("unknown") == 0);
    const auto sum = [&] {
        std::uint64_t total = 0;
        for (std::uint64_t key = 0; key < 3'000; ++key) {
            total += as_number(client.call("counter.sum", {{"series", "rows"}, {"key", key}}));
        }
        return total;
    };
    CHECK(sum() == said.at("rows"));  // and nothing of what was in flight behind it

    client.call("counter.reset", {{"series", "rows"}, {"key", full_key}});
    const ProgramResult done = import(daemon, file.path());
    INFO(done.standard_output << done.standard_error);
    CHECK(done.status.code == 0);
    CHECK(numbers_of(done.standard_output).at("skipped") == said.at("rows"));
    CHECK(total_of(daemon, "rows") == 20'000);
}

TEST_CASE("import: without the follower that must acknowledge, what is there is not called \"not applied\"") {
    const RowFile file = some_rows(10'000, "rows without a follower");
    Daemon daemon;
    const std::vector<std::string> waiting{"--replication-min-acks=1", "--replication-ack-timeout-ms=50"};
    daemon.stop(SIGTERM);
    daemon.set_arguments(waiting);
    daemon.start();
    const auto check_failed = [&] {
        const std::uint64_t before = total_of(daemon, "rows");
        const ProgramResult failed = import(daemon, file.path(), {"--batch-items=100"});
        INFO(failed.standard_output << failed.standard_error);
        CHECK(failed.status.code == 1);
        CHECK(contains(failed.standard_error, "replication_error"));
        CHECK(!contains(failed.standard_error, "not applied"));
        const auto said = numbers_of(failed.standard_output);
        const std::uint64_t now = total_of(daemon, "rows");
        CHECK(now >= said.at("rows"));
        CHECK(now - before <= said.at("unknown") + said.at("applied"));
    };
    for (int run = 0; run < 3; ++run) check_failed();
    daemon.stop(SIGTERM);
    daemon.set_arguments({});
    daemon.start();
    CHECK(import(daemon, file.path(), {"--batch-items=100"}).status.code == 0);
    CHECK(total_of(daemon, "rows") == 10'000);
}

TEST_CASE("import: with other options than it was begun with it is refused, and adds nothing") {
    const RowFile file = some_rows(20'000, "rows with other options");
    Daemon daemon;
    {
        RunningImport running(daemon, file.path(), {"--batch-items=100", "--in-flight=4"});
        running.wait_for_total(daemon, 3'000);
        running.process().kill_hard();
    }
    const std::uint64_t before = total_of(daemon, "rows");
    REQUIRE(before >= 3'000);
    for (const bool complete : {false, true}) {
        CAPTURE(complete);
        if (complete) {
            CHECK(import(daemon, file.path(), {"--batch-items=100"}).status.code == 0);
        }
        const std::uint64_t total = complete ? file.size() : before;
        for (const std::vector<std::string>& other : {std::vector<std::string>{"--batch-items=50"},
                                                      {"--batch-items=99"},
                                                      {"--batch-items=101"},
                                                      {"--batch-items=100", "--from-line=2002"},
                                                      {"--batch-items=100", "--request-bytes=600"}}) {
            const ProgramResult refused = import(daemon, file.path(), other);
            CAPTURE(refused.standard_error);
            CHECK(refused.status.code == 1);
            CHECK(contains(refused.standard_error, "idempotency_conflict"));
            CHECK(contains(refused.standard_error, "--batch-items"));
            CHECK(total_of(daemon, "rows") == total);
        }
    }
}

TEST_CASE("import: with other options that cut the same first batches it is refused before the first") {
    // Short rows, of which both options put as many into a batch, and long ones behind them.
    std::vector<Touch> rows;
    for (std::uint64_t row = 0; row < 20'000; ++row)
        rows.push_back({row < 500 ? 1'000 + row : 100'000'000'000'000'000 + row, 20260501, 1});
    const RowFile file(rows);
    Daemon daemon;
    {
        RunningImport running(daemon, file.path(), {"--batch-items=50", "--in-flight=1"});
        running.wait_for_total(daemon, 1'000);
        running.process().kill_hard();
    }
    const std::uint64_t before = total_of(daemon, "rows");
    const ProgramResult refused = import(daemon, file.path(), {"--batch-items=50", "--request-bytes=1700"});
    INFO(refused.standard_output << refused.standard_error);
    CHECK(refused.status.code == 1);
    CHECK(contains(refused.standard_error, "(ingest.begin): idempotency_conflict"));
    CHECK(contains(refused.standard_error, "--request-bytes"));
    CHECK(numbers_of(refused.standard_output).at("rows") == 0);
    CHECK(total_of(daemon, "rows") == before);

    // Both at once: the first to begin adds all of it, the other nothing.
    Daemon other;
    std::vector<std::string> options{"--batch-items=50"};
    RunningImport one(other, file.path(), options);
    options.emplace_back("--request-bytes=1700");
    RunningImport two(other, file.path(), options);
    const int codes = one.process().wait(patience(std::chrono::seconds(120))).code +
                      two.process().wait(patience(std::chrono::seconds(120))).code;
    INFO(one.error() << two.error());
    CHECK(codes == 1);
    CHECK(total_of(other, "rows") == 20'000);
}

TEST_CASE("ingest: a stream that says how it is cut is begun again with the same words only") {
    Daemon daemon;
    Client client = daemon.connect();
    const auto begin = [&](const std::string& granularity) {
        return client.ask("ingest.begin",
                          {{"stream_id", "s"}, {"mode", "add"}, {"granularity", granularity}});
    };
    const auto code = [](const json::value& reply) { return member(reply, "error_code"); };
    const std::string longest = "day;" + std::string(124, 'x');
    CHECK(code(begin(longest + "x")) == "validation_error");
    CHECK(code(begin("days")) == "validation_error");
    for (int again = 0; again < 2; ++again)
        CHECK(member(member(begin(longest), "response"), "granularity") == json::value(longest));
    CHECK(code(begin("day;")) == "idempotency_conflict");
    CHECK(code(begin("day")) == "idempotency_conflict");
    daemon.kill_hard();
    daemon.start();
    client = daemon.connect();
    CHECK(code(begin("day;")) == "idempotency_conflict");
    client.call("ingest.commit", {{"stream_id", "s"}});
    CHECK(member(member(begin(longest), "response"), "status") == "already_committed");
}

TEST_CASE("import: one that is complete is known by its content, however the file comes") {
    const RowFile file = some_rows(3'000, "rows known by content");
    Daemon daemon;
    REQUIRE(import(daemon, file.path()).status.code == 0);
    const TempDir other;
    write_file(other / "copy.csv", read_file(file.path()));
    const ProgramResult again = import(daemon, (other / "copy.csv").string());
    CHECK(again.status.code == 0);
    CHECK(contains(again.standard_error, "nothing was added"));
    CHECK(contains(again.standard_error, "--repeat=2"));
    CHECK(total_of(daemon, "rows") == 3'000);

    // Asked for, it is added once more, and that once.
    for (int run = 0; run < 2; ++run) {
        CHECK(import(daemon, file.path(), {"--repeat=2"}).status.code == 0);
        CHECK(total_of(daemon, "rows") == 6'000);
    }
    CHECK(import(daemon, file.path(), {"--import-id=by name"}).status.code == 0);
    CHECK(total_of(daemon, "rows") == 9'000);
    // Another file under the same name.
    write_file(other / "longer.csv", read_file(file.path()) + "1,20260505,1\n");
    write_file(other / "shorter.csv", read_file(file.path()).substr(0, 17 + 14 * 400));
    for (const char* const name : {"longer.csv", "shorter.csv"}) {
        const ProgramResult refused = import(daemon, (other / name).string(), {"--import-id=by name"});
        CAPTURE(refused.standard_error);
        CHECK(refused.status.code == 1);
        CHECK(total_of(daemon, "rows") == 9'000);
    }

    // A series that was dropped since does not come back by itself, and that is no success.
    daemon.connect().call("tree.drop", {{"series", "rows"}});
    const ProgramResult dropped = import(daemon, file.path());
    CHECK(dropped.status.code == 1);
    CHECK(contains(dropped.standard_error, "was dropped since. --repeat=2 imports"));
}

TEST_CASE("import: --abort closes an import that was not completed, and what it has added stays") {
    const RowFile file = some_rows(20'000, "rows of an aborted import");
    Daemon daemon;
    {
        RunningImport running(daemon, file.path(), {"--batch-items=50", "--in-flight=2"});
        running.wait_for_total(daemon, 1'000);
        running.process().kill_hard();
    }
    const auto open_streams = [&] {
        return as_number(member(daemon.connect().call("system.stats"), "ingest_active_streams"));
    };
    CHECK(open_streams() == 1);
    const std::uint64_t before = total_of(daemon, "rows");
    const ProgramResult aborted = import(daemon, file.path(), {"--abort"});
    INFO(aborted.standard_output << aborted.standard_error);
    CHECK(aborted.status.code == 0);
    CHECK(
        contains(aborted.standard_output, "aborted batches=" + std::to_string(before / 50) + " import_id="));
    CHECK(open_streams() == 0);
    CHECK(total_of(daemon, "rows") == before);
    CHECK(import(daemon, file.path(), {"--abort"}).status.code == 1);
}

}  // namespace karma::test
