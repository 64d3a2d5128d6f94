// `karma import DIR` of a directory of Karma 0.1: .tree files without metadata, and a log of requests of
// protocol v1 without LSNs and days.
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>

#include "tests/program/karma1_directory.h"
#include "tests/program/replay.h"
#include "tests/support/daemon.h"
#include "tests/support/settings.h"
#include "tests/support/temp_dir.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

// An entry of the log, with its newline.
std::string v1_entry(const std::string& command, const std::string& members) {
    std::string line = R"({"command":")";
    return line.append(command).append("\",").append(members).append("}\n");
}

std::string v1_of_key(const std::string& command, const std::string& tree, std::uint64_t key) {
    return v1_entry(command, R"("tree_name":")" + tree + R"(","key":)" + std::to_string(key));
}

ProgramResult import_v1(const TempDir& old, const TempDir& target, std::vector<std::string> more = {}) {
    std::filesystem::remove_all(target / "karma.db");
    more.insert(more.begin(),
                {"import", old.path().string(), "--directory=" + target.path().string(), "--json"});
    return run_program(karma_binary(), more);
}

// What the import printed, of one that has to succeed.
json::value summary_of(const ProgramResult& result) {
    CAPTURE(result.standard_error);
    REQUIRE(result.status == ExitStatus{0, 0});
    return parse_json(result.standard_output);
}

// The points of a series, by key.
json::object points_of(Client& client, const std::string& tree) {
    const std::string line =
        R"({"command":"find","time_from":0,"time_to":99999999,"tree_name":")" + tree + "\"}";
    return member(client.ask_line(line), "response").as_object();
}

// The same of a database that was imported.
json::object points_in(const TempDir& target, const std::string& tree) {
    DaemonOptions options;
    options.directory = target.path();
    options.arguments = {"--protocol-v1=true"};
    const Daemon daemon(options);
    Client client = daemon.connect();
    return points_of(client, tree);
}

json::object without_empty(const json::object& points) {
    json::object result;
    for (const auto& key : points) {
        json::object days;
        for (const auto& day : key.value().as_object()) {
            if (as_number(day.value()) != 0) days[day.key()] = as_number(day.value());
        }
        if (!days.empty()) result[key.key()] = days;
    }
    return result;
}

}  // namespace

TEST_CASE("v1 import: a directory that Karma 0.1 has left gives what it held") {
    const std::filesystem::path recorded = test_file("data/v1-directory");
    const json::value expected = parse_json(read_file(test_file("data/v1-directory.expected.json")));
    const TempDir target;
    const ProgramResult result = run_program(
        karma_binary(),
        {"import", recorded.string(), "--directory=" + target.path().string(), "--wal-day=2026-11-26"});
    CAPTURE(result.standard_error);
    REQUIRE(result.status == ExitStatus{0, 0});
    CHECK(result.standard_error.empty());
    CHECK(contains(result.standard_output, "day of the entries   2026-11-26, by --wal-day\n"));
    CHECK(contains(result.standard_output, "log entries          102: 102 applied, 0 in the files already"));
    DaemonOptions options;
    options.directory = target.path();
    options.arguments = {"--protocol-v1=true"};
    Daemon daemon(options);
    Client client = daemon.connect();
    CHECK(member(client.ask_line(R"({"command":"trees"})"), "response") ==
          parse_json(R"(["domains","links","new"])"));
    for (const char* const tree : {"links", "domains", "new"}) {
        CAPTURE(tree);
        CHECK(without_empty(points_of(client, tree)) == without_empty(member(expected, tree).as_object()));
    }
    // What was imported is written once: a restart does not execute the log again.
    client.call("counter.increment", {{"series", "links"}, {"key", 1}, {"bucket", 20261126}, {"value", 1}});
    daemon.restart_after_kill();
    Client again = daemon.connect();
    CHECK(as_number(member(points_of(again, "links").at("1"), "20261126")) == 30);
    CHECK(member(again.call("snapshot.verify"), "status") == json::value("ok"));
}

TEST_CASE("v1 import: entries are of the day that is given, or on which the log was last changed") {
    const TempDir old;
    const TempDir target;
    write_file(old / "karma.wal", v1_of_key("increment", "a", 1));
    const std::chrono::sys_seconds last_changed = std::chrono::sys_days{std::chrono::year{2025} / 3 / 14} +
                                                  std::chrono::hours(23) + std::chrono::minutes(59);
    std::filesystem::last_write_time(old / "karma.wal", std::chrono::file_clock::from_sys(last_changed));
    json::value summary = summary_of(import_v1(old, target));
    CHECK(member(summary, "wal_day") == json::value("2025-03-14"));
    CHECK(member(summary, "wal_day_given") == json::value(false));
    CHECK(points_in(target, "a") == parse_json(R"({"1":{"20250314":1}})").as_object());
    summary = summary_of(import_v1(old, target, {"--wal-day=20240229"}));
    CHECK(member(summary, "wal_day") == json::value("2024-02-29"));
    CHECK(member(summary, "wal_day_given") == json::value(true));
    CHECK(points_in(target, "a") == parse_json(R"({"1":{"20240229":1}})").as_object());
    for (const char* const wrong : {"--wal-day=2026-02-29", "--wal-day=today", "--wal-day="}) {
        CAPTURE(wrong);
        const ProgramResult result = import_v1(old, target, {wrong});
        CHECK(result.status.code == 2);
        CHECK(contains(result.standard_error, "--wal-day"));
        CHECK_FALSE(std::filesystem::exists(target / "karma.db"));
    }
    // In the other place for its value, too.
    CHECK(run_program(karma_binary(), {"import", "--wal-day", "2024-02-29", old.path().string(),
                                       "--directory", (target / "other").string()})
              .status.code == 0);
}

TEST_CASE("v1 import: --wal-day has no effect on a log that says its days") {
    const TempDir old;
    const TempDir target;
    write_file(old / "karma.wal", increment(1, "links", 1));
    const ProgramResult result = import_v1(old, target, {"--wal-day=2024-02-29"});
    CHECK(member(summary_of(result), "wal_day").is_null());
    CHECK(contains(result.standard_error, "--wal-day has no effect"));
    CHECK(points_in(target, "links") == parse_json(R"({"18":{"20260505":1}})").as_object());
}

TEST_CASE("v1 import: each entry is executed once, in its order") {
    const TempDir old;
    const TempDir target;
    // Key 18 with 7, and an older file that is not the latest.
    write_file(old / "1700000000_links.tree", tree_of_18('\x07'));
    write_file(old / "1600000000_links.tree", tree_of_18('\x01'));
    const std::string all_days = R"(,"time_from":0,"time_to":99999999)";
    write_file(old / "karma.wal",
               v1_of_key("increment", "links", 18) + v1_of_key("increment", "links", 18) +
                   v1_of_key("decrement", "links", 5) + v1_of_key("increment", "links", 5) +
                   v1_of_key("increment", "gone", 1) + v1_entry("drop", R"("tree_name":"gone")") +
                   v1_entry("drop", R"("tree_name":"gone")") + v1_of_key("increment", "gone", 2) +
                   v1_entry("create", R"("tree_name":"empty")") + v1_of_key("increment", "b", 1) +
                   v1_entry("delete", R"("tree_name":"b","key":1)" + all_days) +
                   v1_entry("delete", R"("tree_name":"c","time_from":1,"time_to":2)") +
                   v1_of_key("increment", "d", 1) +
                   v1_entry("load", R"("tree_name":"1600000000_links.tree")") +
                   v1_of_key("increment", "links", 18) + v1_of_key("increment", "e", 1) +
                   v1_entry("reset", R"("tree_name":"e")"));
    const json::value summary = summary_of(import_v1(old, target, {"--wal-day=2026-05-05"}));
    CHECK(as_number(member(summary, "entries")) == 17);
    CHECK(as_number(member(summary, "applied")) == 16);
    CHECK(as_number(member(summary, "refused")) == 1);  // the second drop, which Karma 0.1 refused
    DaemonOptions options;
    options.directory = target.path();
    options.arguments = {"--protocol-v1=true"};
    const Daemon daemon(options);
    Client client = daemon.connect();
    CHECK(member(client.ask_line(R"({"command":"trees"})"), "response") ==
          parse_json(R"(["b","c","d","e","empty","gone","links"])"));
    CHECK(without_empty(points_of(client, "links")) == parse_json(R"({"18":{"20260505":2}})").as_object());
    CHECK(without_empty(points_of(client, "gone")) == parse_json(R"({"2":{"20260505":1}})").as_object());
    CHECK(without_empty(points_of(client, "d")) == parse_json(R"({"1":{"20260505":1}})").as_object());
    CHECK(without_empty(points_of(client, "b")).empty());
    CHECK(without_empty(points_of(client, "e")).empty());
    CHECK(member(client.call("snapshot.verify"), "status") == json::value("ok"));
}

TEST_CASE("v1 import: the state is what a daemon has after the same requests") {
    std::mt19937_64 random = random_engine("v1 import");
    const auto any_of = [&](const std::vector<std::string>& choices) {
        return choices[random_between(random, 0, choices.size() - 1)];
    };
    std::string day;
    json::value imported;
    json::value served;
    do {  // once more where a midnight falls into it
        day = utc_day();
        const Daemon daemon(std::vector<std::string>{"--protocol-v1=true"});
        Client client = daemon.connect();
        std::string log;
        for (int i = 0; i < 1'000; ++i) {
            const std::string tree = any_of({"a", "b", "серия"});
            const std::string key = any_of({"0", "1", "42", "18446744073709551615"});
            const std::string range =
                any_of({R"("time_from":0,"time_to":99999999)", R"("time_from":20200101,"time_to":20200131)"});
            const std::string name = any_of({"increment", "increment", "increment", "increment", "increment",
                                             "decrement", "decrement", "reset", "delete", "create", "drop"});
            std::string members = R"("tree_name":")" + tree + '"';
            const bool has_key =
                name == "increment" || name == "decrement" ||
                ((name == "reset" || name == "delete") && any_of({"key", "key", ""}) == "key");
            if (has_key) members += R"(,"key":)" + key;
            if (name == "delete") members += "," + range;
            const std::string line = v1_entry(name, members);
            log += line;
            client.send(line);
            CHECK(as_number(member(client.receive(), "protocol_version")) == 1);
        }
        served = client.call("snapshot.verify").at("digest");
        const TempDir old;
        const TempDir target;
        write_file(old / "karma.wal", log);
        imported = member(summary_of(import_v1(old, target, {"--wal-day=" + day})), "digest");
    } while (utc_day() != day);
    CHECK(imported == served);
}

TEST_CASE("v1 import: a log that is cut short anywhere gives the entries that are whole") {
    const std::vector<std::string> entries = {v1_of_key("increment", "a", 1), v1_of_key("increment", "a", 2),
                                              v1_of_key("increment", "b", 3)};
    const std::string log = entries[0] + entries[1] + entries[2];
    const TempDir old;
    const TempDir target;
    for (std::size_t size = 1; size <= log.size(); size += 7) {
        CAPTURE(size);
        write_file(old / "karma.wal", log.substr(0, size));
        std::size_t whole = 0;
        std::size_t end = 0;
        // The newline need not be there.
        while (whole < entries.size() && end + entries[whole].size() - 1 <= size)
            end += entries[whole++].size();
        const ProgramResult result = import_v1(old, target);
        CHECK(as_number(member(summary_of(result), "applied")) == whole);
        CHECK(contains(result.standard_error, "cut short") == (size > end && size < log.size()));
    }
}

TEST_CASE("v1 import: what is no log of Karma 0.1 is refused, by file and line") {
    struct Damage {
        std::string log;
        std::string message;
    };
    const std::string good = v1_of_key("increment", "a", 1);
    const std::vector<Damage> damages = {
        {good + "{\"command\":\"incr\n" + good, "karma.wal, line 2: no log entry"},
        {good + good.substr(0, 20) + good, "karma.wal, line 2: no log entry"},
        {good + std::string(30, '\0') + "\n" + good, "karma.wal, line 2: no log entry"},
        {good + increment(1, "links", 1), "line 2: an entry of Karma 1.0 in a log of Karma 0.1"},
        {increment(1, "links", 1) + good, "line 2: an entry of Karma 0.1 in a log of Karma 1.0"},
        {good + v1_entry("nope", "\"key\":1"), "karma.wal, line 2: Unknown command nope"},
        {good + v1_entry("increment", "\"key\":1"), "karma.wal, line 2: Field tree_name is required"},
        {v1_of_key("increment", "a", 1) + v1_entry("increment", R"("tree_name":"a","key":-1)"),
         "karma.wal, line 2: Field key must be an integer"},
        {good + v1_entry("delete", R"("tree_name":"a","time_from":2,"time_to":1)"),
         "karma.wal, line 2: Field time_from must be less than or equal to time_to"},
        {good + v1_entry("load", R"("tree_name":"1_a.tree")"), "karma.wal, line 2 loads "},
        {good + v1_entry("load", R"("tree_name":"../../etc/passwd")"), "karma.wal, line 2: Field tree_name"},
        {good + "[\"command\"]\n" + good, "karma.wal, line 2: no log entry"},
    };
    const TempDir old;
    const TempDir target;
    for (const Damage& damage : damages) {
        CAPTURE(damage.log);
        write_file(old / "karma.wal", damage.log);
        const ProgramResult result = import_v1(old, target);
        CAPTURE(result.standard_error);
        CHECK(result.status.code == 1);
        CHECK(contains(result.standard_error, damage.message));
        CHECK_FALSE(std::filesystem::exists(target / "karma.db"));
    }
    // A file of Karma 1.0 beside a log of Karma 0.1.
    write_file(old / "karma.wal", good);
    write_file(old / "1700000000_links.tree", tree_of_18('\x01'));
    write_file(old / "1700000000_links.tree.meta.json", R"({"tree":"links","last_lsn":1})");
    const ProgramResult result = import_v1(old, target);
    CHECK(result.status.code == 1);
    CHECK(contains(result.standard_error, "the files of two databases"));
}

TEST_CASE("v1 import: what cannot be known of the order of files and log is said") {
    const TempDir old;
    const TempDir target;
    write_file(old / "1700000000_a.tree", tree_of_18('\x01'));
    write_file(old / "1700000000_b.tree", tree_of_18('\x01'));
    write_file(old / "karma.wal", v1_of_key("increment", "a", 1) + v1_of_key("increment", "b", 1));
    CHECK(import_v1(old, target).standard_error.empty());
    write_file(old / "1700000005_a.tree", tree_of_18('\x02'));
    const ProgramResult alone = import_v1(old, target);
    CHECK(alone.status.code == 0);
    CHECK(contains(alone.standard_error, "the latest files of series \"a\" are newer than those of others"));
    CHECK(contains(alone.standard_error, "the latest files of series \"b\" are older than those of others"));
    // One that the log drops is gone.
    write_file(old / "karma.wal", v1_entry("drop", R"("tree_name":"b")"));
    CHECK(import_v1(old, target).standard_error.empty());
}

TEST_CASE("v1 import: an empty log is what a Karma 0.1 leaves that was stopped") {
    const TempDir old;
    const TempDir target;
    write_file(old / "1700000000_a.tree", tree_of_18('\x05'));
    write_file(old / "karma.wal", "");
    const json::value summary = summary_of(import_v1(old, target));
    CHECK(member(summary, "wal_day").is_null());
    CHECK(without_empty(points_in(target, "a")) == parse_json(R"({"18":{"20260505":5}})").as_object());
}

}  // namespace karma::test
