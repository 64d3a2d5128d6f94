// `karma import` when something goes wrong: what it says must be exactly what happened.
#include <array>
#include <atomic>
#include <chrono>
#include <fcntl.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include "tests/cli/csv_file.h"
#include "tests/cli/gzip.h"
#include "tests/cli/import_run.h"
#include "tests/support/fake_server.h"
#include "tests/support/file_descriptor.h"
#include "tests/support/port.h"
#include "tests/support/settings.h"
#include "tests/support/temp_dir.h"

namespace karma::test {

namespace {

// A header and rows 1 to `count`, on the lines 2 to count + 1.
std::string numbered_rows(std::size_t count) {
    std::string csv = "key,bucket,value\n";
    for (std::size_t row = 1; row <= count; ++row) csv += std::to_string(row) + ",20260505,1\n";
    return csv;
}

std::string acknowledged_line(std::size_t rows, std::size_t batches, const std::string& last_line) {
    std::string line = "acknowledged rows=" + std::to_string(rows);
    line += " batches=" + std::to_string(batches);
    line += " last_line=" + last_line;
    return line;
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("import: a refused batch, with the fate of those behind it") {
    const CsvFile file(numbered_rows(100));
    // Ten batches of ten rows in flight together; the third is refused, and so is the seventh.
    const FakeServer server(
        [](std::size_t index, const std::string& line) {
            if (index == 2 || index == 6) return FakeAnswer{error_reply("validation_error", "too much")};
            return accept_batch(line);
        },
        10);
    const ImportOutcome outcome =
        import({file.path(), "--series=s", "--batch-items=10", "--in-flight=10", server.port_option()});
    CHECK(outcome.status == 1);
    CHECK(outcome.err ==
          "karma import: the daemon refused the batch of lines 22 to 31: validation_error: too much\n"
          "karma import: acknowledged: the first 20 rows in 2 batches, up to line 21\n"
          "karma import: lines 22 to 31 (10 rows in 1 batch): not applied\n"
          "karma import: lines 32 to 61 (30 rows in 3 batches): applied all the same\n"
          "karma import: lines 62 to 71 (10 rows in 1 batch): not applied\n"
          "karma import: lines 72 to 101 (30 rows in 3 batches): applied all the same\n"
          "karma import: nothing of the lines behind these was sent\n");
    CHECK(outcome.summary("rows applied") == "20");
    CHECK(outcome.last_line() == "acknowledged rows=20 batches=2 last_line=21");
}

TEST_CASE("import: after a refusal nothing further is sent") {
    const CsvFile file(numbered_rows(1'000));
    const FakeServer server([](std::size_t index, const std::string& line) {
        if (index == 3) return FakeAnswer{error_reply("unauthorized", "Unauthorized")};
        return accept_batch(line);
    });
    const ImportOutcome outcome =
        import({file.path(), "--series=s", "--batch-items=10", "--in-flight=1", server.port_option()});
    CHECK(outcome.status == 1);
    CHECK(server.requests().size() == 4);
    CHECK(contains(outcome.err, "unauthorized: Unauthorized\n"));
    CHECK(outcome.last_line() == "acknowledged rows=30 batches=3 last_line=31");
}

TEST_CASE("import: a connection that breaks, with the exact numbers") {
    const CsvFile file(numbered_rows(1'000));
    for (const std::size_t answered : {0U, 1U, 5U, 19U}) {
        CAPTURE(answered);
        // 20 batches in flight; the server answers some of them and goes away.
        const FakeServer server(
            [&](std::size_t index, const std::string& line) {
                if (index < answered) return accept_batch(line);
                return FakeAnswer{"{\"protocol_version\":2,\"succ", true};
            },
            20);
        const ImportOutcome outcome =
            import({file.path(), "--series=s", "--batch-items=10", "--in-flight=20", server.port_option()});
        CHECK(outcome.status == 1);
        CHECK(server.requests().size() >= 20);
        const std::string last_line = std::to_string(answered == 0 ? 0 : answered * 10 + 1);
        CHECK(outcome.last_line() == acknowledged_line(answered * 10, answered, last_line));
        CHECK(contains(outcome.err,
                       "karma import: connection to 127.0.0.1:" + std::to_string(server.port()) + ": "));
        if (answered == 0) {
            CHECK(contains(outcome.err, "karma import: acknowledged: nothing\n"));
        } else {
            CHECK(contains(outcome.err, "karma import: acknowledged: the first " +
                                            std::to_string(answered * 10) + " rows in "));
            CHECK(contains(outcome.err, ", up to line " + last_line + "\n"));
        }
        CHECK(contains(outcome.err, "karma import: lines " + std::to_string(answered * 10 + 2) + " to "));
        CHECK(contains(outcome.err, "sent, but not acknowledged: they may or may not have been applied\n"));
    }
}

TEST_CASE("import: the numbers count from --from-line") {
    const CsvFile file(numbered_rows(100));
    const FakeServer server([](std::size_t index, const std::string& line) {
        return index < 2 ? accept_batch(line) : FakeAnswer{"", true};
    });
    const ImportOutcome outcome = import({file.path(), "--series=s", "--batch-items=10", "--in-flight=1",
                                          "--from-line=42", server.port_option()});
    CHECK(outcome.status == 1);
    CHECK(contains(outcome.err,
                   "acknowledged: the first 20 rows from line 42 on in 2 batches, up to line 61\n"));
    CHECK(outcome.last_line() == "acknowledged rows=20 batches=2 last_line=61");
}

TEST_CASE("import: requests longer than the daemon allows") {
    const CsvFile file(numbered_rows(1'000));
    const FakeServer server(
        [](std::size_t, const std::string&) {
            return FakeAnswer{error_reply("request_too_large", "Request is too large"), true};
        },
        2);
    const ImportOutcome outcome =
        import({file.path(), "--series=s", "--request-bytes=10000", server.port_option()});
    CHECK(outcome.status == 1);
    CHECK(contains(outcome.err, "request_too_large: Request is too large\n"));
    CHECK(contains(outcome.err,
                   "lower --request-bytes here, or start the daemon with a higher --max-request-bytes\n"));
    CHECK(contains(outcome.err, "lines 2 to 1001 (1000 rows in 2 batches): not applied\n"));
    CHECK(!contains(outcome.err, "may or may not"));
    CHECK(outcome.last_line() == "acknowledged rows=0 batches=0 last_line=0");
}

TEST_CASE("import: a daemon that applies less than was sent, or answers nonsense") {
    const CsvFile file(numbered_rows(20));
    for (const std::string& reply :
         {success_reply("{\"applied\":9,\"total\":9}"), success_reply("\"OK\""),
          success_reply("{\"applied\":-10}"), success_reply("{}"), std::string("what?\r\n")}) {
        CAPTURE(reply);
        const FakeServer server([&](std::size_t index, const std::string& line) {
            return index == 0 ? accept_batch(line) : FakeAnswer{reply};
        });
        const ImportOutcome outcome =
            import({file.path(), "--series=s", "--batch-items=10", "--in-flight=1", server.port_option()});
        CHECK(outcome.status == 1);
        CHECK(contains(outcome.err, "karma import: the daemon "));
        CHECK(contains(outcome.err, "lines 12 to 21 (10 rows in 1 batch): sent, but not acknowledged"));
        CHECK(outcome.last_line() == "acknowledged rows=10 batches=1 last_line=11");
    }
}

TEST_CASE("import: nobody listens, or the file is not there") {
    const CsvFile file(numbered_rows(20));
    const ReservedPort port;
    const ImportOutcome outcome =
        import({file.path(), "--series=s", "--port=" + std::to_string(port.number())});
    CHECK(outcome.status == 3);
    CHECK(outcome.err == "karma import: cannot connect to 127.0.0.1:" + std::to_string(port.number()) +
                             ": Connection refused\n");
    CHECK(outcome.last_line() == "acknowledged rows=0 batches=0 last_line=0");

    const std::string missing = file.path() + ".missing";
    const ImportOutcome no_file = import({missing, "--series=s", "--from-line=7"});
    CHECK(no_file.status == 1);
    CHECK(no_file.err == missing + ": No such file or directory\n");
    CHECK(no_file.last_line() == "acknowledged rows=0 batches=0 last_line=6");
}

TEST_CASE("import: a bad row stops behind the rows before it") {
    const std::string rows = numbered_rows(15) + "16,2026-02-30,1\n17,20260505,1\n";
    const CsvFile file(rows);
    const FakeServer server(accept_any);
    const ImportOutcome outcome =
        import({file.path(), "--series=s", "--batch-items=10", server.port_option()});
    CHECK(outcome.status == 1);
    CHECK(outcome.err ==
          file.path() +
              ":17: bucket \"2026-02-30\" is not a calendar day\n"
              "karma import: stopped there; the rows before it are sent. --from-line 17 goes on there, "
              "--skip-bad passes over bad rows\n");
    CHECK(items_of(server.requests()).size() == 15);
    CHECK(outcome.summary("rows read") == "16");
    CHECK(outcome.summary("rows applied") == "15");
    CHECK(outcome.last_line() == "acknowledged rows=15 batches=2 last_line=16");

    const ImportOutcome piped = import_piped(rows, {"-", "--series=s", server.port_option()});
    CHECK(piped.status == 1);
    CHECK(piped.err.starts_with("standard input:17: bucket "));
}

TEST_CASE("import: --skip-bad counts bad rows and shows the first ten") {
    std::string rows = "key,bucket,value\n";
    for (int row = 0; row < 25; ++row) {
        rows += std::to_string(row) + ",20260505,1\n" + "x" + std::to_string(row) + ",20260505,1\n";
    }
    const CsvFile file(rows);
    const FakeServer server(accept_any);
    const ImportOutcome outcome = import({file.path(), "--series=s", "--skip-bad", server.port_option()});
    CHECK(outcome.status == 0);
    CHECK(outcome.summary("rows read") == "50");
    CHECK(outcome.summary("rows applied") == "25");
    CHECK(outcome.summary("rows skipped") == "25");
    CHECK(outcome.last_line() == "acknowledged rows=25 batches=1 last_line=50");
    CHECK(items_of(server.requests()).size() == 25);
    std::string expected;
    for (int row = 0; row < 10; ++row) {
        expected += file.path() + ":" + std::to_string(2 * row + 3) + ": key \"x" + std::to_string(row) +
                    "\" is not a whole number from 0 to 18446744073709551615 (skipped)\n";
    }
    CHECK(outcome.err == expected + "karma import: further bad rows are only counted\n");
}

TEST_CASE("import: a wrong header stops at once, even with --skip-bad") {
    const CsvFile file("key,day,count\n1,20260505,1\n");
    const FakeServer server(accept_any);
    const ImportOutcome outcome = import({file.path(), "--series=s", "--skip-bad", server.port_option()});
    CHECK(outcome.status == 1);
    CHECK(outcome.err.starts_with(file.path() + ":1: the header names the column \"day\""));
    CHECK(server.requests().empty());
    CHECK(outcome.last_line() == "acknowledged rows=0 batches=0 last_line=0");
}

TEST_CASE("import: gzip that is cut short ends behind the last whole row") {
    const std::string packed = gzip(numbered_rows(50'000));
    const CsvFile file(packed.substr(0, packed.size() - 100));
    const FakeServer server(accept_any);
    const ImportOutcome outcome = import({file.path(), "--series=s", server.port_option()});
    CHECK(outcome.status == 1);
    CHECK(outcome.err == file.path() + ": the gzip data is cut short, it ends in the middle after " +
                             std::to_string(packed.size() - 100) + " bytes\n");
    const std::vector<Item> items = items_of(server.requests());
    REQUIRE(!items.empty());
    CHECK(items.size() < 50'000);
    for (std::size_t row = 0; row < items.size(); ++row) {
        if (items[row].key != row + 1 || items[row].value != 1) FAIL("row " << row + 1 << " is another");
    }
    CHECK(outcome.last_line() == "acknowledged rows=" + std::to_string(items.size()) +
                                     " batches=" + std::to_string(server.requests().size()) +
                                     " last_line=" + std::to_string(items.size() + 1));
}

TEST_CASE("import: an interrupt ends in an orderly way") {
    const CsvFile file(numbered_rows(1'000));
    std::atomic<bool> interrupted = false;
    const FakeServer server([&](std::size_t index, const std::string& line) {
        if (index == 4) interrupted = true;
        return accept_batch(line);
    });
    const ImportOutcome outcome =
        import({file.path(), "--series=s", "--batch-items=10", "--in-flight=1", server.port_option()}, -1,
               [&] { return interrupted.load(); });
    CHECK(outcome.status == 1);
    CHECK(outcome.err.starts_with("karma import: interrupted behind line "));
    const std::vector<std::string> requests = server.requests();
    const std::size_t rows = items_of(requests).size();
    CHECK(rows >= 50);
    CHECK(rows < 1'000);
    CHECK(outcome.last_line() == "acknowledged rows=" + std::to_string(rows) +
                                     " batches=" + std::to_string(requests.size()) +
                                     " last_line=" + std::to_string(rows + 1));
}

TEST_CASE(
    "import: input that pauses is sent so far, and a daemon that closes silent connections does no harm") {
    // Closes every connection behind its first answer.
    const FakeServer server([](std::size_t, const std::string& line) {
        FakeAnswer answer = accept_batch(line);
        answer.close = true;
        return answer;
    });
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    const FileDescriptor out(ends[0]);
    FileDescriptor in(ends[1]);
    std::thread writer([&] {
        for (std::size_t part = 0; part < 2; ++part) {
            const std::string row = std::to_string(part) + ",20260505,1\n";
            if (::write(in.get(), row.data(), row.size()) < 0) break;
            // It arrives although the input has not ended.
            if (!server.wait_for_requests(part + 1)) break;
            std::this_thread::sleep_for(std::chrono::milliseconds(700));
        }
        in.reset();
    });
    const ImportOutcome outcome = import({"-", "--series=s", server.port_option()}, out.get());
    writer.join();
    INFO(outcome.err);
    CHECK(outcome.status == 0);
    CHECK(server.connections() >= 2);
    CHECK(items_of(server.requests()) == std::vector<Item>{{0, 20260505, 1}, {1, 20260505, 1}});
    CHECK(outcome.last_line() == "acknowledged rows=2 batches=2 last_line=2");
}

}  // namespace karma::test
