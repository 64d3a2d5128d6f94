// An export of a running daemon is of one moment, can always be made, and can always be imported.
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/program/counter.h"
#include "tests/support/daemon.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

ProgramResult run_karma(const std::vector<std::string>& arguments) {
    ProgramResult result = run_program(karma_binary(), arguments);
    CAPTURE(result.standard_output);
    CAPTURE(result.standard_error);
    REQUIRE(result.status == ExitStatus{0, 0});
    return result;
}

std::uint64_t sum_of(Client& client, const std::string& series, std::uint64_t key) {
    return as_number(client.call("counter.sum", {{"series", series}, {"key", key}}));
}

json::value keyed_add(Client& client, const std::string& series, const std::string& key) {
    json::object fields = counter(series, 1, 100);
    fields["idempotency_key"] = key;
    return client.ask("counter.increment", fields);
}

bool is_repeat(const json::value& reply) { return member(reply, "idempotent") == json::value(true); }

/// A daemon on what an export of another one holds.
struct Imported {
    explicit Imported(const std::vector<std::string>& export_arguments) {
        std::vector<std::string> arguments = {"export", (scratch / "out").string()};
        arguments.insert(arguments.end(), export_arguments.begin(), export_arguments.end());
        exported = run_karma(arguments);
        run_karma({"import", (scratch / "out").string(), "--directory", (scratch / "db").string()});
        DaemonOptions options;
        options.directory = scratch / "db";
        daemon.emplace(options);
    }

    TempDir scratch;
    ProgramResult exported;
    std::optional<Daemon> daemon;
};

}  // namespace

TEST_CASE("export: of the latest snapshot, what came after it is counted when it is sent again") {
    Daemon daemon;
    Client client = daemon.connect();
    keyed_add(client, "links", "before");
    client.call("recovery.checkpoint", {{"source", "kafka"}, {"offset", 1}});
    client.call("snapshot.create_all");
    keyed_add(client, "links", "after");
    client.call("recovery.checkpoint", {{"source", "kafka"}, {"offset", 2}});
    // One of a single series is ahead of the records of all others.
    client.call("snapshot.create", {{"series", "links"}});
    const Imported there({"--port", std::to_string(daemon.port()), "--no-snapshot"});
    Client other = there.daemon->connect();
    CHECK(sum_of(other, "links", 1) == 100);
    CHECK(member(member(other.call("recovery.status"), "checkpoints").at(0), "offset") == json::value("1"));
    CHECK(is_repeat(keyed_add(other, "links", "before")));
    CHECK_FALSE(is_repeat(keyed_add(other, "links", "after")));
    CHECK(sum_of(other, "links", 1) == 200);
}

TEST_CASE("export: of one series come its records and no others") {
    Daemon daemon;
    Client client = daemon.connect();
    keyed_add(client, "links", "one");
    keyed_add(client, "other", "two");
    const Imported there({"--port", std::to_string(daemon.port()), "--series", "links"});
    Client other = there.daemon->connect();
    CHECK(is_repeat(keyed_add(other, "links", "one")));
    CHECK_FALSE(is_repeat(keyed_add(other, "other", "two")));
    CHECK(sum_of(other, "other", 1) == 100);
    // A stopped daemon's directory gives the same.
    daemon.stop();
    const TempDir scratch;
    run_karma({"export", (scratch / "out").string(), "--directory", daemon.directory().string(), "--series",
               "links"});
    const json::value records = parse_json(read_file(scratch / "out" / "karma.idempotency.json"));
    CHECK(member(records, "records").as_array().size() == 1);
}

TEST_CASE("export: short replies, totals of more than 64 bits, and for the series a read token are enough") {
    Daemon daemon(std::vector<std::string>{"--max-response-bytes=262144", "--max-request-bytes=4194304",
                                           "--auth-token=all", "--read-auth-token=read"});
    Client client = daemon.connect();
    json::array items;
    for (std::uint64_t key = 0; key < 30'000; ++key) {
        items.push_back(json::array{key, some_bucket, key * 1'000'003 + 1});
    }
    client.call("series.batch_add", {{"token", "all"}, {"series", "large"}, {"items", std::move(items)}});
    constexpr std::uint64_t half = 9'223'372'036'854'775'808U;
    const json::object wide = {
        {"token", "all"},
        {"series", "wide"},
        {"items", json::array{json::array{1, some_bucket, half}, json::array{2, some_bucket, half}}},
        {"idempotency_key", "wide"}};
    client.send_line(request("series.batch_add", wide));
    REQUIRE(contains(client.receive_line(), "\"success\":true"));
    const auto has_all = [](Client& there) {
        return sum_of(there, "large", 29'999) == 29'999 * std::uint64_t{1'000'003} + 1;
    };
    const Imported of_reader({"--port", std::to_string(daemon.port()), "--token", "read"});
    Client without_records = of_reader.daemon->connect();
    CHECK(has_all(without_records));
    const Imported of_all({"--port", std::to_string(daemon.port()), "--token", "all"});
    Client other = of_all.daemon->connect();
    CHECK(has_all(other));
    other.send_line(request("series.batch_add", wide));
    const std::string again = other.receive_line();
    CHECK(contains(again, "\"total\":18446744073709551616"));
    CHECK(contains(again, "\"idempotent\":true"));
}

TEST_CASE("export: a file that was put there is loaded into the series that it is of") {
    Daemon daemon;
    Client client = daemon.connect();
    client.call("counter.increment", counter("a/b", 1, 5));
    const TempDir scratch;
    run_karma({"export", (scratch / "out").string(), "--port", std::to_string(daemon.port())});
    std::string tree;
    for (const auto& file : std::filesystem::directory_iterator(scratch / "out")) {
        if (file.path().extension() == ".tree") {
            tree = read_file(file.path());
        }
    }
    client.call("counter.increment", counter("a/b", 1, 5));
    write_file(daemon.directory() / "1700000000_a%2Fb.tree", tree);
    CHECK(client.call("snapshot.load", {{"file", "1700000000_a%2Fb.tree"}}) ==
          json::value("Tree \"a/b\" loaded"));
    CHECK(sum_of(client, "a/b", 1) == 5);
    write_file(daemon.directory() / "1700000001_x.tree", tree);
    write_file(daemon.directory() / "1700000001_x.tree.meta.json", R"({"tree":"from metadata"})");
    client.call("snapshot.load", {{"file", "1700000001_x.tree"}});
    CHECK(sum_of(client, "from metadata", 1) == 5);
    write_file(daemon.directory() / "1700000001_x.tree.meta.json", "rubbish");
    CHECK(client.error_of("snapshot.load", {{"file", "1700000001_x.tree"}}) == "validation_error");
    write_file(daemon.directory() / "1700000002_a%zz.tree", tree);
    CHECK(client.error_of("snapshot.load", {{"file", "1700000002_a%zz.tree"}}) == "validation_error");
}

TEST_CASE("export: bad requests for one are refused with the field, and what is left is ended") {
    Daemon daemon;
    Client client = daemon.connect();
    CHECK(client.error_of("export.begin", {{"snapshot", "latest"}}) == "not_found");
    CHECK(client.error_of("export.begin", {{"snapshot", "old"}}) == "validation_error");
    CHECK(client.error_of("export.begin", {{"series", "none"}}) == "not_found");
    CHECK(client.error_of("export.fetch", {{"export_id", "none"}, {"file", "x"}}) == "not_found");
    CHECK(client.error_of("export.fetch", {{"file", "x"}}) == "validation_error");
    std::string last;
    for (int i = 0; i < 8; ++i) {
        last = member(client.call("export.begin"), "export_id").as_string();
    }
    CHECK(client.error_of("export.begin") == "validation_error");
    CHECK(client.call("export.end", {{"export_id", last}}) == json::value("OK"));
    const json::value begun = client.call("export.begin");
    // What was begun is not bound to a connection.
    Client other = daemon.connect();
    const json::value part = other.call(
        "export.fetch", {{"export_id", member(begun, "export_id")}, {"file", "contents.json"}, {"limit", 5}});
    CHECK(member(part, "bytes") == json::value(5));
    CHECK(member(part, "done") == json::value(false));
}

}  // namespace karma::test
