// `karma import` with a server that accepts everything: what arrives, in which order, and what the user
// reads.
#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/cli/csv_file.h"
#include "tests/cli/environment.h"
#include "tests/cli/gzip.h"
#include "tests/cli/import_run.h"
#include "tests/support/fake_server.h"
#include "tests/support/json.h"
#include "tests/support/settings.h"
#include "tests/support/temp_dir.h"

namespace karma::test {

namespace {

// Rows with a line each, and what should arrive.
struct Rows {
    std::string csv;
    std::vector<Item> items;

    Rows(const std::string& purpose, std::size_t count) {
        auto random = random_engine(purpose);
        for (std::size_t row = 0; row < count; ++row) {
            items.push_back({random() >> random_between(random, 0, 63),
                             20260101 + random_between(random, 0, 27), random_between(random, 1, 100'000)});
            csv += std::to_string(items.back().key) + ',' + std::to_string(items.back().bucket) + ',' +
                   std::to_string(items.back().value) + '\n';
        }
    }

    std::uint64_t total() const {
        std::uint64_t sum = 0;
        for (const Item& item : items) sum += item.value;
        return sum;
    }
};

}  // namespace

TEST_CASE("import: all rows arrive in order, and the summary says so") {
    const Rows rows("import order", 5'000);
    const CsvFile file("key,bucket,value\n" + rows.csv);
    const FakeServer server(accept_any);
    const ImportOutcome outcome = import({file.path(), "--series", "touches", server.port_option()});
    INFO(outcome.err);
    CHECK(outcome.status == 0);
    CHECK(outcome.err.empty());
    const std::vector<std::string> all = server.requests();
    const std::string id = outcome.field("import_id");
    CHECK(id.size() == 64);
    // What a request of 4,096 bytes has beside a token, the longest number and what is the same in each.
    const std::size_t same =
        std::string(R"({"v":2,"op":"ingest.chunk","stream_id":"import/","series":"touches","items":[)")
            .size();
    const std::string longest_end = R"(],"chunk_seq":18446744073709551615})";
    const std::size_t room = 4'096 - 128 - same - id.size() - longest_end.size();
    CHECK(parse_json(all.front()) ==
          parse_json(
              R"({"v":2,"op":"ingest.begin","mode":"add","granularity":"day;from_line=1 batch_items=1000 )"
              R"(bytes_of_items=)" +
              std::to_string(room) + R"(","stream_id":"import/)" + id + "\"}"));
    CHECK(parse_json(all.back()) ==
          parse_json(R"({"v":2,"op":"ingest.commit","stream_id":"import/)" + id + "\"}"));
    const std::vector<std::string> requests = chunks_of(all);
    CHECK(requests.size() == all.size() - 2);
    CHECK(items_of(requests) == rows.items);
    for (std::size_t at = 0; at < requests.size(); ++at) {
        CHECK(requests[at].size() <= 4'096);
        CHECK(requests[at].starts_with(R"({"v":2,"op":"ingest.chunk","stream_id":"import/)" + id +
                                       R"(","series":"touches","items":[[)"));
        CHECK(as_number(member(parse_json(requests[at]), "chunk_seq")) == at + 1);
    }
    // No request but the last has room for another row, beside a token and the longest number.
    for (std::size_t at = 0; at + 1 < requests.size(); ++at)
        CHECK(requests[at].size() > 4'096 - 52 - 128 - 20);
    CHECK(server.connections() == 1);
    CHECK(outcome.summary("rows read") == "5000");
    CHECK(outcome.summary("rows applied") == "5000");
    CHECK(outcome.summary("rows skipped") == "0 (applied before)");
    CHECK(outcome.summary("rows unknown") == "0");
    CHECK(outcome.summary("rows bad") == "0");
    CHECK(outcome.summary("total value") == std::to_string(rows.total()));
    CHECK(outcome.summary("batches") == std::to_string(requests.size()));
    CHECK(!outcome.summary("seconds").empty());
    CHECK(!outcome.summary("rows/s").empty());
    CHECK(outcome.last_line() == "acknowledged rows=5000 batches=" + std::to_string(requests.size()) +
                                     " last_line=5001 applied=5000 skipped=0 unknown=0 import_id=" + id);
}

TEST_CASE("import: limits of a request") {
    const Rows rows("import limits", 1'000);
    const CsvFile file(rows.csv);
    const FakeServer server(accept_any);
    const auto run = [&](const std::vector<std::string>& more) {
        std::vector<std::string> arguments{file.path(), "--series=s", server.port_option()};
        arguments.insert(arguments.end(), more.begin(), more.end());
        const std::size_t before = chunks_of(server.requests()).size();
        CHECK(import(arguments).status == 0);
        const std::vector<std::string> all = chunks_of(server.requests());
        std::vector<std::string> requests(all.begin() + static_cast<std::ptrdiff_t>(before), all.end());
        CHECK(items_of(requests) == rows.items);
        return requests;
    };
    const auto by_items = run({"--batch-items=7"});
    CHECK(by_items.size() == 143);
    CHECK(items_of(by_items.back()).size() == 1'000 % 7);
    for (const std::string& request : run({"--request-bytes=400"})) CHECK(request.size() <= 400);
    CHECK(run({"--request-bytes=1048576"}).size() == 1);
    CHECK(run({"--request-bytes=1048576", "--batch-items=500"}).size() == 2);
}

TEST_CASE("import: as many requests in flight as allowed, and no more") {
    const Rows rows("import in flight", 1'000);
    const CsvFile file(rows.csv);
    for (const std::size_t in_flight : {1U, 2U, 8U, 50U}) {
        CAPTURE(in_flight);
        // Behind the begin and the first batch, which go alone, the server answers nothing before so many
        // requests have come: fewer in flight would wait for ever.
        const FakeServer server(accept_any, in_flight, 2);
        const ImportOutcome outcome =
            import({file.path(), "--series=s", "--batch-items=10", server.port_option(),
                    "--in-flight=" + std::to_string(in_flight)});
        CHECK(outcome.status == 0);
        CHECK(server.most_unanswered() == in_flight);
        CHECK(items_of(server.requests()) == rows.items);
        CHECK(outcome.last_line().starts_with("acknowledged rows=1000 batches=100 last_line=1000 "));
    }
}

TEST_CASE("import: gzip and plain, from a file and from standard input") {
    const Rows rows("import sources", 20'000);
    const std::string half = rows.csv.substr(0, rows.csv.size() / 2);
    const std::string members = gzip(half) + gzip(rows.csv.substr(half.size()));
    const FakeServer server(accept_any);
    for (const std::string& content : {rows.csv, gzip(rows.csv), members}) {
        for (const bool piped : {false, true}) {
            CAPTURE(piped);
            const std::size_t before = server.requests().size();
            const CsvFile file(content);
            const ImportOutcome outcome =
                piped ? import_piped(content, {"-", "--series=s", server.port_option()})
                      : import({file.path(), "--series=s", server.port_option()});
            CHECK(outcome.status == 0);
            const std::vector<std::string> all = server.requests();
            const std::vector<std::string> requests(all.begin() + static_cast<std::ptrdiff_t>(before),
                                                    all.end());
            CHECK(items_of(requests) == rows.items);
            CHECK(outcome.field("last_line") == "20000");
        }
    }
}

TEST_CASE("import: the id follows from content, series, mode and repeat, and from nothing else") {
    const Rows rows("import ids", 300);
    const CsvFile plain(rows.csv);
    const CsvFile packed(gzip(rows.csv));
    const CsvFile other(rows.csv + "1,20260505,1\n");
    const FakeServer server(accept_any);
    const auto id = [&](std::vector<std::string> arguments) {
        if (std::ranges::none_of(arguments, [](const auto& text) { return text.starts_with("--series"); })) {
            arguments.emplace_back("--series=s");
        }
        arguments.push_back(server.port_option());
        const ImportOutcome outcome = import(arguments);
        CHECK(outcome.status == 0);
        return outcome.field("import_id");
    };
    const std::string expected = id({plain.path()});
    CHECK(id({packed.path()}) == expected);
    CHECK(id({plain.path(), "--batch-items=7", "--request-bytes=2000", "--in-flight=2", "--from-line=9",
              "--skip-bad", "--token=t"}) == expected);
    std::set<std::string> ids{expected};
    ids.insert(id({other.path()}));
    ids.insert(id({plain.path(), "--series=t"}));
    ids.insert(id({plain.path(), "--mode=set"}));
    ids.insert(id({plain.path(), "--repeat=2"}));
    ids.insert(id({plain.path(), "--import-id=name"}));
    ids.insert(id({plain.path(), "--live"}));
    ids.insert(id({plain.path(), "--live"}));
    CHECK(ids.size() == 8);
    CHECK(ids.contains("name"));
    // A released version must know what an earlier one has imported.
    const CsvFile fixed("1,20260505,1\n");
    CHECK(id({fixed.path()}) == "f7da698662a3d1f54e136de879d06bf0580024ef7a6728d5a4b1cfa86ffd587c");
}

TEST_CASE("import: a file that is changed while it is imported is not taken for complete") {
    // Long enough that the change comes before the end has been read.
    std::string csv;
    for (int row = 0; row < 300'000; ++row) csv += "1,20260505,1\n";
    const CsvFile file(csv);
    const FakeServer server([&](std::size_t index, const std::string& line) {
        if (index == 1) write_file(file.path(), csv.substr(0, csv.size() - 2) + "2\n");
        return accept_import(line);
    });
    const ImportOutcome outcome = import({file.path(), "--series=s", server.port_option()});
    CHECK(outcome.status == 1);
    CHECK(outcome.err.find(" was changed while it was imported") != std::string::npos);
    CHECK(server.requests().back().find("ingest.commit") == std::string::npos);
}

TEST_CASE("import: set mode sets, and takes zero") {
    const CsvFile file("1,20260505,0\n2,20260505,7\n");
    const FakeServer server(accept_any);
    const ImportOutcome outcome = import({file.path(), "--series=s", "--mode=set", server.port_option()});
    CHECK(outcome.status == 0);
    const auto requests = server.requests();
    REQUIRE(requests.size() == 3);
    CHECK(member(parse_json(requests[0]), "mode") == json::value("set"));
    CHECK(items_of(requests) == std::vector<Item>{{1, 20260505, 0}, {2, 20260505, 7}});
    CHECK(outcome.summary("total value") == "7");
}

TEST_CASE("import: a file without rows") {
    const FakeServer server(accept_any);
    for (const std::string content : {"", "\n\n", "key,bucket,value\n"}) {
        const CsvFile file(content);
        const ImportOutcome outcome = import({file.path(), "--series=s", server.port_option()});
        CHECK(outcome.status == 0);
        CHECK(outcome.last_line().starts_with("acknowledged rows=0 batches=0 last_line=0 applied=0 "));
    }
    CHECK(server.requests().empty());
}

TEST_CASE("import: --from-line goes on behind what is known") {
    const CsvFile file("value,key,bucket\n1,1,20260505\n\n2,2,20260505\n3,3,20260505\n");
    const FakeServer server(accept_any);
    const auto run = [&](const std::string& line) {
        const std::string text =
            import({file.path(), "--series=s", "--from-line=" + line, server.port_option()}).last_line();
        return text.substr(0, text.find(" applied="));
    };
    CHECK(run("1") == "acknowledged rows=3 batches=1 last_line=5");
    CHECK(run("3") == "acknowledged rows=2 batches=1 last_line=5");
    CHECK(run("5") == "acknowledged rows=1 batches=1 last_line=5");
    CHECK(run("6") == "acknowledged rows=0 batches=0 last_line=5");
    CHECK(items_of(server.requests()) == std::vector<Item>{{1, 20260505, 1},
                                                           {2, 20260505, 2},
                                                           {3, 20260505, 3},
                                                           {2, 20260505, 2},
                                                           {3, 20260505, 3},
                                                           {3, 20260505, 3}});
}

TEST_CASE("import: the token goes with every request") {
    const EnvironmentVariable variable("KARMA_TOKEN");
    variable.set("from-env");
    const CsvFile file("1,20260505,1\n");
    const FakeServer server(accept_any);
    import({file.path(), "--series=s", server.port_option()});
    import({file.path(), "--series=s", "--token=from-line", server.port_option()});
    variable.set("");
    import({file.path(), "--series=s", server.port_option()});
    const auto requests = server.requests();
    REQUIRE(requests.size() == 9);
    for (std::size_t at = 0; at < 3; ++at) {
        CHECK(member(parse_json(requests[at]), "token") == json::value("from-env"));
        CHECK(member(parse_json(requests[3 + at]), "token") == json::value("from-line"));
        CHECK(requests[6 + at].find("token") == std::string::npos);
    }
}

TEST_CASE("import: progress and quiet") {
    const CsvFile file("1,20260505,1\nbad\n2,20260505,1\n");
    const FakeServer server(accept_any);
    const auto run = [&](const std::vector<std::string>& more) {
        std::vector<std::string> arguments{file.path(), "--series=s", "--batch-items=1", "--skip-bad",
                                           server.port_option()};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return import(arguments);
    };
    const std::string skipped = file.path() + ":2: 1 field, expected 3 (skipped)\n";
    CHECK(run({}).err == skipped);
    CHECK(run({"--progress=never"}).err == skipped);
    const ImportOutcome shown = run({"--progress=always"});
    CHECK(shown.err.find(" rows/s  ETA ") != std::string::npos);
    CHECK(shown.err.find(skipped) != std::string::npos);
    CHECK(shown.err.ends_with("\r\x1b[K"));
    const ImportOutcome quiet = run({"--quiet", "--progress=always"});
    CHECK(quiet.err == skipped);
    CHECK(quiet.out.starts_with("acknowledged rows=2 batches=2 last_line=3 applied=2 "));
    CHECK(std::ranges::count(quiet.out, '\n') == 1);
}

TEST_CASE("import: wrong usage names the option, and nothing is printed to standard output") {
    const auto check = [](const std::vector<std::string>& arguments, const std::string& what) {
        const ImportOutcome outcome = import(arguments);
        CAPTURE(what);
        CHECK(outcome.status == 2);
        CHECK(outcome.out.empty());
        CHECK(outcome.err == "karma import: " + what + "\nTry 'karma import --help'.\n");
    };
    check({"--series=s"}, "FILE is missing (- for standard input)");
    check({"", "--series=s"}, "FILE is empty");
    check({"a", "b", "--series=s"}, "\"b\": only one FILE can be imported at a time");
    check({"a"}, "--series is missing");
    check({"a", "--series="}, "--series is empty");
    check({"a", "--series=s", "--mode=replace"}, "--mode: \"replace\" is neither add nor set");
    check({"a", "--series=s", "--progress=maybe"}, "--progress: \"maybe\" is none of auto, always and never");
    check({"a", "--series=s", "--batch-items=0"},
          "--batch-items: \"0\" is not a whole number from 1 to 10000000");
    check({"a", "--series=s", "--in-flight=x"}, "--in-flight: \"x\" is not a whole number from 1 to 100000");
    check({"a", "--series=s", "--from-line=0"},
          "--from-line: \"0\" is not a whole number from 1 to 18446744073709551615");
    check({"a", "--series=s", "--request-bytes=100"},
          "--request-bytes 100 is too small: a request with one row of this series takes up to 350 bytes");
    check({"a", "--series=s", "--repeat=0"}, "--repeat: \"0\" is not a whole number from 1 to 1000000");
    check({"a", "--series=s", "--import-id="}, "--import-id is empty");
    check({"a", "--series=s", "--import-id=" + std::string(201, 'x')},
          "--import-id is longer than 200 bytes");
    check({"a", "--series=s", "--import-id=x", "--repeat=2"},
          "--repeat and --import-id cannot be given together: another --import-id does it");
    check({"a", "--series=s", "--import-id=x", "--live"},
          "--live and --import-id cannot be given together: with --live the batches depend on when rows "
          "come, so "
          "that an import cannot be sent again");
    check({"a", "--series=s", "--skip"}, "unrecognised option '--skip'");
    check({"a", "--series=s", "--port=99999"}, "--port: \"99999\" is not a whole number from 1 to 65535");
}

TEST_CASE("import: --help explains itself on standard output") {
    const ImportOutcome outcome = import({"--help"});
    CHECK(outcome.status == 0);
    CHECK(outcome.err.empty());
    for (const char* part :
         {"Usage: karma import", "--series", "--mode", "--skip-bad", "--from-line", "--request-bytes",
          "--batch-items", "--in-flight", "--import-id", "--repeat", "--live", "--abort", "--host", "--port",
          "--token", "--timeout", "--progress", "--quiet",
          "acknowledged rows=N batches=M last_line=L applied=A skipped=S unknown=U import_id=ID"}) {
        CHECK(outcome.out.find(part) != std::string::npos);
    }
}

TEST_CASE("import: real data arrives with its known sums") {
    const FakeServer server(accept_any);
    const ImportOutcome outcome =
        import({test_file("data/file-touches.csv.gz").string(), "--series=touches", server.port_option()});
    CHECK(outcome.status == 0);
    const json::value expected = parse_json(read_file(test_file("data/file-touches.expected.json")));
    const std::uint64_t rows = as_number(member(expected, "rows"));
    const std::vector<Item> items = items_of(server.requests());
    CHECK(items.size() == rows);
    std::map<std::uint64_t, std::uint64_t> totals;
    std::uint64_t total = 0;
    for (const Item& item : items) {
        totals[item.key] += item.value;
        total += item.value;
    }
    CHECK(total == as_number(member(expected, "total")));
    CHECK(outcome.summary("total value") == std::to_string(total));
    CHECK(totals.size() == as_number(member(expected, "keys")));
    CHECK(outcome.last_line().starts_with("acknowledged rows=" + std::to_string(rows) +
                                          " batches=" + std::to_string(chunks_of(server.requests()).size()) +
                                          " last_line=" + std::to_string(rows + 1) + ' '));
}

}  // namespace karma::test
