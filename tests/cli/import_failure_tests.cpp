// `karma import` when something goes wrong: what it says must be exactly what happened.
#include <array>
#include <atomic>
#include <chrono>
#include <fcntl.h>
#include <functional>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include "cli/input_file.h"
#include "tests/cli/csv_file.h"
#include "tests/cli/gzip.h"
#include "tests/cli/import_run.h"
#include "tests/support/fake_server.h"
#include "tests/support/file_descriptor.h"
#include "tests/support/json.h"
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

// The beginning of the last line.
std::string acknowledged_line(std::size_t rows, std::size_t batches, const std::string& last_line) {
    std::string line = "acknowledged rows=" + std::to_string(rows);
    line += " batches=" + std::to_string(batches);
    line += " last_line=" + last_line + ' ';
    return line;
}

// The number of the chunk that a request is; 0 when it is none.
std::uint64_t chunk_of(const std::string& line) {
    const json::value request = parse_json(line);
    return request.as_object().contains("chunk_seq") ? as_number(member(request, "chunk_seq")) : 0;
}

std::string how_to_go_on() {
    return "karma import: not complete. Run the same command again to complete it: nothing is counted twice. "
           "--abort ends it as it is\n";
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("import: a refused batch, and nothing behind it is applied") {
    const CsvFile file(numbered_rows(100));
    // Behind the first, nine batches of ten rows in flight together; the fourth is refused, and what follows
    // is not the next chunk then.
    const FakeServer server(
        [](std::size_t, const std::string& line) {
            if (chunk_of(line) == 4) return FakeAnswer{error_reply("validation_error", "too much")};
            if (chunk_of(line) > 4) return FakeAnswer{error_reply("validation_error", "not the next")};
            return accept_import(line);
        },
        9, 2);
    const ImportOutcome outcome =
        import({file.path(), "--series=s", "--batch-items=10", "--in-flight=10", server.port_option()});
    CHECK(outcome.status == 1);
    CHECK(outcome.err ==
          "karma import: the daemon refused the batch of lines 32 to 41: validation_error: too much\n"
          "karma import: acknowledged: the first 30 rows in 3 batches, up to line 31\n"
          "karma import: lines 32 to 101 (70 rows in 7 batches): not applied\n" +
              how_to_go_on());
    CHECK(outcome.summary("rows applied") == "30");
    CHECK(outcome.summary("rows unknown") == "0");
    CHECK(outcome.last_line().starts_with(acknowledged_line(30, 3, "31")));
}

TEST_CASE(
    "import: what a refusal leaves open is unknown, and a later batch that is taken tells of those before") {
    const CsvFile file(numbered_rows(100));
    for (const char* const code : {"replication_error", "internal_error", "query_timeout", "something_new"}) {
        for (const std::uint64_t taken : {0U, 6U}) {
            CAPTURE(code);
            CAPTURE(taken);
            const FakeServer server(
                [&](std::size_t, const std::string& line) {
                    if (chunk_of(line) > 3 && chunk_of(line) != taken)
                        return FakeAnswer{error_reply(code, "late")};
                    return accept_import(line);
                },
                9, 2);
            const ImportOutcome outcome = import(
                {file.path(), "--series=s", "--batch-items=10", "--in-flight=10", server.port_option()});
            CHECK(outcome.status == 1);
            const std::size_t sure = taken == 0 ? 3 : taken;
            CHECK(outcome.last_line().starts_with(
                acknowledged_line(10 * sure, sure, std::to_string(10 * sure + 1))));
            CHECK(outcome.field("unknown") == std::to_string(100 - 10 * sure));
            CHECK(outcome.summary("rows unknown") == std::to_string(100 - 10 * sure));
            CHECK(contains(outcome.err, "may or may not have been applied\n"));
            CHECK(!contains(outcome.err, "not applied"));
        }
    }
}

TEST_CASE("import: after a refusal nothing further is sent") {
    const CsvFile file(numbered_rows(1'000));
    const FakeServer server([](std::size_t index, const std::string& line) {
        if (index == 3) return FakeAnswer{error_reply("unauthorized", "Unauthorized")};
        return accept_import(line);
    });
    const ImportOutcome outcome =
        import({file.path(), "--series=s", "--batch-items=10", "--in-flight=1", server.port_option()});
    CHECK(outcome.status == 1);
    CHECK(server.requests().size() == 4);
    CHECK(contains(outcome.err, "unauthorized: Unauthorized\n"));
    CHECK(outcome.last_line().starts_with(acknowledged_line(20, 2, "21")));
}

TEST_CASE("import: a refused begin or commit says what it means for the rows") {
    const CsvFile file(numbered_rows(30));
    const auto run = [&](const std::string& op, const std::string& code) {
        const FakeServer server([&](std::size_t, const std::string& line) {
            return contains(line, op) ? FakeAnswer{error_reply(code, "no")} : accept_import(line);
        });
        ImportOutcome outcome = import({file.path(), "--series=s", "--batch-items=10", server.port_option()});
        CHECK(outcome.status == 1);
        CHECK(contains(outcome.err, "(" + op + "): " + code + ": no"));
        return outcome;
    };
    const ImportOutcome not_begun = run("ingest.begin", "replication_error");
    CHECK(not_begun.last_line().starts_with(acknowledged_line(0, 0, "0")));
    CHECK(not_begun.field("unknown") == "0");
    CHECK(contains(not_begun.err, how_to_go_on()));
    CHECK(contains(run("ingest.begin", "validation_error").err, "end them with --abort (ingest.abort)"));
    const ImportOutcome not_closed = run("ingest.commit", "replication_error");
    CHECK(not_closed.last_line().starts_with(acknowledged_line(30, 3, "31")));
    CHECK(contains(not_closed.err, "all rows are applied, but the import could not be closed"));
    CHECK(contains(not_closed.err, how_to_go_on()));
}

TEST_CASE("import: a connection that breaks and does not come back, with the exact numbers") {
    const CsvFile file(numbered_rows(1'000));
    for (const std::size_t answered : {0U, 1U, 5U, 19U}) {
        CAPTURE(answered);
        // 20 batches in flight, behind the first; the server answers some of them and goes away.
        std::atomic<bool> gone = false;
        const FakeServer server(
            [&](std::size_t, const std::string& line) {
                if (!gone && chunk_of(line) <= answered) return accept_import(line);
                gone = true;
                return FakeAnswer{"{\"protocol_version\":2,\"succ", true};
            },
            answered == 0 ? 1 : 20, answered == 0 ? 0 : 2);
        const ImportOutcome outcome = import({file.path(), "--series=s", "--batch-items=10", "--in-flight=20",
                                              "--timeout=1", server.port_option()});
        CHECK(outcome.status == 1);
        CHECK(server.connections() > 1);
        const std::string last_line = std::to_string(answered == 0 ? 0 : answered * 10 + 1);
        CHECK(outcome.last_line().starts_with(acknowledged_line(answered * 10, answered, last_line)));
        CHECK(contains(outcome.err,
                       "karma import: connection to 127.0.0.1:" + std::to_string(server.port()) + ": "));
        CHECK(contains(outcome.err, "; trying to connect again\n"));
        CHECK(contains(outcome.err, how_to_go_on()));
        if (answered == 0) {
            CHECK(contains(outcome.err, "karma import: acknowledged: nothing\n"));
        } else {
            CHECK(contains(outcome.err, "karma import: acknowledged: the first " +
                                            std::to_string(answered * 10) + " rows in "));
            CHECK(contains(outcome.err, ", up to line " + last_line + "\n"));
        }
        CHECK(contains(outcome.err,
                       "karma import: line" +
                           std::string(answered == 0 ? "s 2" : "s " + std::to_string(answered * 10 + 2)) +
                           " to "));
        CHECK(contains(outcome.err, "sent, but not acknowledged: they may or may not have been applied\n"));
        CHECK(std::stoull(outcome.field("unknown")) > 0);
    }
}

TEST_CASE("import: a connection that breaks is made again, and what was not answered is sent again") {
    const CsvFile file(numbered_rows(500));
    auto random = random_engine("import: broken connections");
    for (int round = 0; round < 10; ++round) {
        // As a daemon that applies what it reads, and loses the connection now and then, before or behind
        // that.
        std::vector<std::string> applied;
        const FakeServer server([&](std::size_t, const std::string& line) {
            const std::uint64_t chunk = chunk_of(line);
            if (one_in(random, 12)) return FakeAnswer{"", true};
            FakeAnswer answer = accept_import(line);
            if (chunk != 0 && chunk <= applied.size()) {
                CHECK(applied[chunk - 1] == line);
                answer.bytes = success_reply("{\"chunk_seq\":" + std::to_string(chunk) +
                                             R"(,"skipped":true,"committed":false,"applied":0,"total":0})");
            } else if (chunk != 0) {
                CHECK(chunk == applied.size() + 1);
                applied.push_back(line);
            }
            if (one_in(random, 12)) return FakeAnswer{"", true};
            return answer;
        });
        const ImportOutcome outcome =
            import({file.path(), "--series=s", "--batch-items=10", server.port_option()});
        INFO(outcome.err);
        CHECK(outcome.status == 0);
        CHECK(applied.size() == 50);
        CHECK(outcome.last_line().starts_with(acknowledged_line(500, 50, "501") +
                                              "applied=500 skipped=0 unknown=0 "));
    }
}

TEST_CASE("import: the numbers count from --from-line") {
    const CsvFile file(numbered_rows(100));
    const FakeServer server([](std::size_t, const std::string& line) {
        return chunk_of(line) < 3 ? accept_import(line) : FakeAnswer{error_reply("validation_error", "no")};
    });
    const ImportOutcome outcome = import({file.path(), "--series=s", "--batch-items=10", "--in-flight=1",
                                          "--from-line=42", server.port_option()});
    CHECK(outcome.status == 1);
    CHECK(contains(outcome.err,
                   "acknowledged: the first 20 rows from line 42 on in 2 batches, up to line 61\n"));
    CHECK(outcome.last_line().starts_with(acknowledged_line(20, 2, "61")));
}

TEST_CASE("import: requests longer than the daemon allows") {
    const CsvFile file(numbered_rows(1'000));
    const FakeServer server([](std::size_t index, const std::string& line) {
        if (index == 0) return accept_import(line);
        return FakeAnswer{error_reply("request_too_large", "Request is too large"), true};
    });
    const ImportOutcome outcome =
        import({file.path(), "--series=s", "--request-bytes=10000", server.port_option()});
    CHECK(outcome.status == 1);
    CHECK(contains(outcome.err, "request_too_large: Request is too large\n"));
    CHECK(contains(outcome.err,
                   "lower --request-bytes here, or start the daemon with a higher --max-request-bytes\n"));
    CHECK(contains(outcome.err, " rows in 1 batch): not applied\n"));
    CHECK(!contains(outcome.err, "may or may not"));
    CHECK(outcome.last_line().starts_with(acknowledged_line(0, 0, "0")));
}

TEST_CASE("import: a daemon that applies less than was sent, or answers nonsense") {
    const CsvFile file(numbered_rows(20));
    for (const std::string& reply :
         {success_reply(R"({"chunk_seq":2,"skipped":false,"applied":9,"total":9})"),
          success_reply(R"({"chunk_seq":3,"skipped":false,"applied":10,"total":10})"),
          success_reply("\"OK\""), success_reply(R"({"chunk_seq":2,"applied":-10})"), success_reply("{}"),
          std::string("what?\r\n")}) {
        CAPTURE(reply);
        const FakeServer server([&](std::size_t index, const std::string& line) {
            return index < 2 ? accept_import(line) : FakeAnswer{reply};
        });
        const ImportOutcome outcome =
            import({file.path(), "--series=s", "--batch-items=10", "--in-flight=1", server.port_option()});
        CHECK(outcome.status == 1);
        CHECK(contains(outcome.err, "karma import: the daemon "));
        CHECK(contains(outcome.err, "lines 12 to 21 (10 rows in 1 batch): sent, but not acknowledged"));
        CHECK(outcome.last_line().starts_with(acknowledged_line(10, 1, "11")));
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
    CHECK(outcome.last_line().starts_with(acknowledged_line(0, 0, "0")));

    const std::string missing = file.path() + ".missing";
    const ImportOutcome no_file = import({missing, "--series=s", "--from-line=7"});
    CHECK(no_file.status == 1);
    CHECK(no_file.err == missing + ": No such file or directory\n");
    CHECK(no_file.last_line().starts_with(acknowledged_line(0, 0, "6")));
    CHECK(no_file.field("import_id") == "-");
}

TEST_CASE("import: a bad row of a file is found before anything is sent, of a pipe behind the full batches") {
    const std::string rows = numbered_rows(15) + "16,2026-02-30,1\n17,20260505,1\n";
    const CsvFile file(rows);
    const FakeServer server(accept_any);
    const ImportOutcome outcome =
        import({file.path(), "--series=s", "--batch-items=10", server.port_option()});
    CHECK(outcome.status == 1);
    CHECK(outcome.err ==
          file.path() +
              ":17: bucket \"2026-02-30\" is not a calendar day\n"
              "karma import: nothing was sent. Mend the line, or pass over bad rows with --skip-bad\n");
    CHECK(server.requests().empty());
    CHECK(outcome.summary("rows read") == "16");
    CHECK(outcome.summary("rows applied") == "0");
    CHECK(outcome.last_line().starts_with(acknowledged_line(0, 0, "0")));

    const ImportOutcome piped =
        import_piped(rows, {"-", "--series=s", "--batch-items=10", "--import-id=x", server.port_option()});
    CHECK(piped.status == 1);
    CHECK(piped.err ==
          "standard input:17: bucket \"2026-02-30\" is not a calendar day\n"
          "karma import: stopped there. Mend the line, or pass over bad rows with --skip-bad\n" +
              how_to_go_on());
    CHECK(items_of(server.requests()).size() == 10);
    CHECK(piped.last_line().starts_with(acknowledged_line(10, 1, "11")));
    CHECK(piped.field("import_id") == "x");
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
    CHECK(outcome.summary("rows bad") == "25");
    CHECK(outcome.last_line().starts_with(acknowledged_line(25, 1, "50")));
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
    CHECK(outcome.last_line().starts_with(acknowledged_line(0, 0, "0")));
}

TEST_CASE("import: of gzip that is cut short nothing is sent, or from a pipe the full batches") {
    const std::string packed = gzip(numbered_rows(50'000));
    const std::string cut = packed.substr(0, packed.size() - 100);
    const std::string problem = ": the gzip data is cut short, it ends in the middle after " +
                                std::to_string(cut.size()) + " bytes\n";
    const CsvFile file(cut);
    const FakeServer server(accept_any);
    const ImportOutcome outcome = import({file.path(), "--series=s", server.port_option()});
    CHECK(outcome.status == 1);
    CHECK(outcome.err == file.path() + problem);
    CHECK(server.requests().empty());

    const ImportOutcome piped = import_piped(cut, {"-", "--series=s", "--import-id=x", server.port_option()});
    CHECK(piped.status == 1);
    CHECK(piped.err == "standard input" + problem + how_to_go_on());
    const std::vector<Item> items = items_of(server.requests());
    REQUIRE(!items.empty());
    CHECK(items.size() < 50'000);
    for (std::size_t row = 0; row < items.size(); ++row) {
        if (items[row].key != row + 1 || items[row].value != 1) FAIL("row " << row + 1 << " is another");
    }
    CHECK(piped.last_line().starts_with(
        acknowledged_line(items.size(), server.requests().size() - 1, std::to_string(items.size() + 1))));
}

TEST_CASE("import: an interrupt ends in an orderly way") {
    const CsvFile file(numbered_rows(1'000));
    std::atomic<bool> interrupted = false;
    const FakeServer server([&](std::size_t index, const std::string& line) {
        if (index == 6) interrupted = true;
        return accept_import(line);
    });
    const ImportOutcome outcome =
        import({file.path(), "--series=s", "--batch-items=10", "--in-flight=1", server.port_option()}, -1,
               [&] { return interrupted.load(); });
    CHECK(outcome.status == 1);
    CHECK(outcome.err.starts_with("karma import: interrupted behind line "));
    CHECK(outcome.err.ends_with(how_to_go_on()));
    const std::vector<std::string> requests = server.requests();
    const std::size_t rows = items_of(requests).size();
    CHECK(rows >= 50);
    CHECK(rows < 1'000);
    CHECK(rows % 10 == 0);
    CHECK(!contains(requests.back(), "ingest.commit"));
    CHECK(outcome.last_line().starts_with(
        acknowledged_line(rows, requests.size() - 1, std::to_string(rows + 1))));
}

namespace {

// Rows that come through a pipe with pauses between them. `may_go_on` is asked before each but the first.
ImportOutcome import_with_pauses(std::vector<std::string> arguments, const std::function<void()>& pause) {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    const FileDescriptor out(ends[0]);
    FileDescriptor in(ends[1]);
    std::thread writer([&] {
        for (std::size_t part = 0; part < 2; ++part) {
            const std::string row = std::to_string(part) + ",20260505,1\n";
            if (::write(in.get(), row.data(), row.size()) < 0) break;
            pause();
        }
        in.reset();
    });
    arguments.insert(arguments.begin(), {"-", "--series=s"});
    ImportOutcome outcome = import(arguments, out.get());
    writer.join();
    return outcome;
}

}  // namespace

TEST_CASE(
    "import: --live sends so far what pauses, and a daemon that closes silent connections does no harm") {
    // Closes every connection behind the answer to a batch.
    const FakeServer server([](std::size_t, const std::string& line) {
        FakeAnswer answer = accept_import(line);
        answer.close = chunk_of(line) != 0;
        return answer;
    });
    std::size_t rows = 0;
    const ImportOutcome outcome = import_with_pauses({"--live", server.port_option()}, [&] {
        ++rows;
        // It arrives although the input has not ended.
        const auto deadline = std::chrono::steady_clock::now() + patience();
        while (items_of(server.requests()).size() < rows && std::chrono::steady_clock::now() < deadline) {
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
    });
    INFO(outcome.err);
    CHECK(outcome.status == 0);
    CHECK(server.connections() >= 2);
    CHECK(items_of(server.requests()) == std::vector<Item>{{0, 20260505, 1}, {1, 20260505, 1}});
    CHECK(outcome.last_line().starts_with(acknowledged_line(2, 2, "2")));
}

TEST_CASE("import: a pause changes no batch of an import that can be sent again") {
    const FakeServer server(accept_any);
    const ImportOutcome outcome = import_with_pauses({server.port_option()}, [] {
        std::this_thread::sleep_for(std::chrono::milliseconds(cli::InputFile::idle_after_ms + 200));
    });
    INFO(outcome.err);
    CHECK(outcome.status == 0);
    CHECK(outcome.last_line().starts_with(acknowledged_line(2, 1, "2")));
    const std::string id = outcome.field("import_id");
    CHECK(id.size() == 32);
    CHECK(outcome.err == "karma import: import id " + id +
                             " (if anything goes wrong, send the same input again with --import-id=" + id +
                             ")\n");
}

}  // namespace karma::test
