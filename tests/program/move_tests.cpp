// Data moves in and out: files of snapshots, exports, directories of Karma 1.0; and nothing is lost or
// counted twice on the way.
#include <ctime>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <sys/file.h>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include "tests/program/counter.h"
#include "tests/program/karma1_directory.h"
#include "tests/support/daemon.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

std::uint64_t sum(Client& client, const std::string& series, std::uint64_t key) {
    return as_number(client.call("counter.sum", {{"series", series}, {"key", key}}));
}

std::string digest(Client& client) {
    return std::string(member(client.call("snapshot.verify"), "digest").as_string());
}

std::string latest_file(Client& client, const std::string& series) {
    const json::value info = client.call("snapshot.info");
    for (const json::value& one : member(info, "latest_by_tree").as_array()) {
        if (member(one, "tree") == json::value(series)) {
            return std::string(member(one, "file").as_string());
        }
    }
    return {};
}

ProgramResult karma(const std::vector<std::string>& arguments) {
    return run_program(karma_binary(), arguments);
}

ProgramResult karma_ok(const std::vector<std::string>& arguments) {
    ProgramResult result = karma(arguments);
    CAPTURE(result.standard_output);
    CAPTURE(result.standard_error);
    REQUIRE(result.status == ExitStatus{0, 0});
    return result;
}

/// Something of everything.
void fill(Client& client) {
    json::array items;
    for (std::uint64_t key = 0; key < 500; ++key) {
        items.push_back(json::array{key, some_bucket + static_cast<std::uint32_t>(key % 20), key * key + 1});
    }
    client.call("series.batch_add", {{"series", "links"}, {"items", std::move(items)}});
    client.call("tree.create", {{"series", "empty"}});
    client.call("counter.increment", counter("a/b 100%", 1, 18446744073709551615U));
    client.call("counter.decrement", counter("links", 900, 1));  // a key without a value
    json::object keyed = counter("links", 7, 3);
    keyed["idempotency_key"] = "once";
    client.call("counter.increment", keyed);
    client.call("counter.batch_reset",
                {{"series", "links"}, {"keys", json::array{1, 2, 9'999}}, {"idempotency_key", "reset"}});
    client.call("recovery.checkpoint", {{"source", "kafka"}, {"offset", 12}});
    client.call("ingest.begin", {{"stream_id", "s"}, {"mode", "add"}});
    client.call("ingest.chunk", {{"stream_id", "s"},
                                 {"series", "links"},
                                 {"chunk_seq", 1},
                                 {"items", json::array{json::array{5, some_bucket, 1}}}});
    client.call("ingest.commit", {{"stream_id", "s"}});
}

void check_memory_of_requests(Client& client) {
    json::object keyed = counter("links", 7, 3);
    keyed["idempotency_key"] = "once";
    const json::value again = client.ask("counter.increment", keyed);
    CHECK(member(again, "idempotent") == json::value(true));
    CHECK(member(again, "response") == json::value(3));
    const json::value reset =
        client.ask("counter.batch_reset",
                   {{"series", "links"}, {"keys", json::array{1, 2, 9'999}}, {"idempotency_key", "reset"}});
    CHECK(member(reset, "response") == parse_json(R"({"reset":2,"missing":1})"));
    const json::value stream = client.call("ingest.begin", {{"stream_id", "s"}, {"mode", "add"}});
    CHECK(member(stream, "status") == json::value("already_committed"));
}

const std::vector<std::string> large_requests = {"--max-request-bytes=1048576"};

}  // namespace

TEST_CASE("moving: what a running daemon exports is what another one imports") {
    Daemon daemon(large_requests);
    Client client = daemon.connect();
    fill(client);
    const std::string before = digest(client);
    const TempDir scratch;
    const std::string port = std::to_string(daemon.port());
    karma_ok({"export", (scratch / "out").string(), "--port", port});
    const ProgramResult imported =
        karma_ok({"import", (scratch / "out").string(), "--directory", (scratch / "db").string()});
    CHECK(contains(imported.standard_output, before));
    karma_ok({"verify", (scratch / "db").string()});
    DaemonOptions options;
    options.directory = scratch / "db";
    options.arguments = large_requests;
    Daemon other(options);
    Client there = other.connect();
    CHECK(digest(there) == before);
    CHECK(member(there.call("snapshot.info"), "dump_count") == json::value(3));  // no new ones at a start
    CHECK(sum(there, "a/b 100%", 1) == 18446744073709551615U);
    check_memory_of_requests(there);
    // Not into what has data.
    const ProgramResult refused =
        karma({"import", (scratch / "out").string(), "--directory", daemon.directory().string()});
    CHECK(refused.status.code == 1);
    other.stop();
    const ProgramResult again =
        karma({"import", (scratch / "out").string(), "--directory", (scratch / "db").string()});
    CHECK(again.status.code == 1);
    CHECK(contains(again.standard_error, "there is a database with data already"));
}

TEST_CASE("moving: a backup is whole and verified, or it is not there") {
    Daemon daemon(large_requests);
    Client client = daemon.connect();
    fill(client);
    const std::string before = digest(client);
    const TempDir scratch;
    const std::string port = "--port=" + std::to_string(daemon.port());
    const std::filesystem::path target = scratch / "backup";
    const json::value made =
        parse_json(karma_ok({"backup", target.string() + "/", port, "--json"}).standard_output);
    CHECK(member(made, "series") == json::value(3));
    CHECK(member(made, "digest") == json::value(before));
    CHECK(as_number(member(made, "lsn")) ==
          as_number(member(client.call("snapshot.info"), "wal_current_lsn")));
    CHECK(as_number(member(made, "bytes")) > 0);
    CHECK(contains(karma_ok({"verify", target.string()}).standard_output, before));
    CHECK(contains(
        karma_ok({"import", target.string(), "--directory", (scratch / "db").string()}).standard_output,
        before));
    // Not over another one, and nothing is left of what could not be made.
    const auto names = [&] {
        std::size_t count = 0;
        for (const auto& entry : std::filesystem::directory_iterator(scratch.path())) {
            count += entry.path().filename().empty() ? 0 : 1;
        }
        return count;
    };
    CHECK(names() == 2);
    CHECK(karma({"backup", target.string(), port}).status.code == 1);
    CHECK(names() == 2);
    karma_ok({"backup", "--dated", (scratch / "dated").string(), port});
    CHECK(names() == 3);
    daemon.kill_hard();
    CHECK(karma({"backup", (scratch / "none").string(), port}).status.code == 3);
    CHECK(names() == 3);
}

TEST_CASE("moving: a backup removes what one that was killed has left, and nothing else") {
    Daemon daemon(large_requests);
    Client client = daemon.connect();
    fill(client);
    const TempDir scratch;
    const std::string port = "--port=" + std::to_string(daemon.port());
    const auto leave = [&](const std::string& name) {
        std::filesystem::create_directories(scratch / name);
        write_file(scratch / name / "1_links.tree", "a part");
        return scratch / name;
    };
    const std::filesystem::path abandoned = leave("copy.part-1");
    const std::filesystem::path another = leave("copy-2.part-1");
    const std::filesystem::path no_number = leave("copy.part-1a");
    const std::filesystem::path in_use = leave("copy.part-2");
    const int file = ::open(in_use.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(::flock(file, LOCK_EX) == 0);
    CHECK(contains(karma_ok({"backup", (scratch / "copy").string(), port}).standard_error,
                   "removed " + abandoned.string()));
    CHECK_FALSE(std::filesystem::exists(abandoned));
    for (const auto& path : {another, no_number, in_use}) {
        CHECK(std::filesystem::exists(path / "1_links.tree"));
    }
    ::close(file);
    const std::filesystem::path dated = leave("dated/20261121T093000Z.part-77");
    const std::filesystem::path whole = leave("dated/20261120T093000Z");
    karma_ok({"backup", "--dated", (scratch / "dated").string(), port});
    CHECK_FALSE(std::filesystem::exists(dated));
    CHECK(std::filesystem::exists(whole));
}

TEST_CASE("moving: a daemon in which nothing ever was is at LSN 0 where it is imported") {
    Daemon daemon;
    const TempDir scratch;
    const std::string out = (scratch / "out").string();
    const std::string data = (scratch / "data").string();
    karma_ok({"export", out, "--port=" + std::to_string(daemon.port())});
    const ProgramResult imported = karma_ok({"import", out, "--directory=" + data});
    CHECK(contains(imported.standard_output, "last LSN             0\n"));
    karma_ok({"verify", data});
    DaemonOptions options;
    options.directory = data;
    Daemon copy(options);
    for (const std::uint64_t lsn : {0U, 1U}) {
        Client client = copy.connect();
        CHECK(as_number(member(client.call("snapshot.info"), "wal_current_lsn")) == lsn);
        const json::value events = client.call("event.list", {{"after_lsn", 0}});
        CHECK(member(events, "events").as_array().size() == lsn);
        if (lsn == 0) client.call("counter.increment", counter("links", 1, 5));
        copy.kill_hard();
        copy.start();
    }
    Client client = copy.connect();
    CHECK(sum(client, "links", 1) == 5);
}

TEST_CASE("moving: a stopped daemon's directory gives the same files, and earlier states") {
    Daemon daemon(large_requests);
    Client client = daemon.connect();
    fill(client);
    const std::string before = digest(client);
    const std::uint64_t lsn = as_number(member(client.call("snapshot.info"), "wal_current_lsn"));
    client.call("snapshot.create_all");
    client.call("counter.increment", counter("links", 1, 1));
    const std::string after = digest(client);
    daemon.kill_hard();
    const TempDir scratch;
    const std::string directory = daemon.directory().string();
    CHECK(contains(karma_ok({"verify", directory}).standard_output, after));
    CHECK(contains(karma_ok({"replay", directory}).standard_output, after));
    CHECK(contains(karma_ok({"replay", directory, "--until", std::to_string(lsn)}).standard_output, before));
    const ProgramResult future = karma({"replay", directory, "--until", std::to_string(lsn + 5)});
    CHECK(future.status.code == 1);
    CHECK(contains(future.standard_error, "kept are the events from LSN 1"));
    karma_ok(
        {"export", (scratch / "out").string(), "--directory", directory, "--until", std::to_string(lsn)});
    CHECK(contains(karma_ok({"import", (scratch / "out").string(), "--directory", (scratch / "db").string()})
                       .standard_output,
                   before));
    karma_ok(
        {"export", (scratch / "csv").string(), "--directory", directory, "--format=csv", "--series=links"});
    daemon.start();
    const ProgramResult compared = karma({"reconcile", (scratch / "csv" / "links.csv").string(), "--series",
                                          "links", "--port", std::to_string(daemon.port())});
    CAPTURE(compared.standard_output);
    CHECK(compared.status.code == 0);
}

TEST_CASE("moving: the file of a snapshot, in parts and as a whole") {
    Daemon daemon(large_requests);
    Client client = daemon.connect();
    fill(client);
    client.call("snapshot.create", {{"series", "links"}});
    const std::string file = latest_file(client, "links");
    const json::value whole = client.call("snapshot.fetch", {{"file", file}});
    const std::string bytes(member(whole, "data_base64").as_string());
    std::string parts;
    std::uint64_t offset = 0;
    for (bool done = false; !done;) {
        const json::value part =
            client.call("snapshot.fetch_chunk", {{"file", file}, {"offset", offset}, {"limit", 300}});
        parts += member(part, "data_base64").as_string();
        done = member(part, "done").as_bool();
        offset = as_number(member(part, "next_offset"));
    }
    CHECK(parts == bytes);
    CHECK(offset == as_number(member(member(whole, "metadata"), "bytes")));
    CHECK(client.error_of("snapshot.fetch_chunk", {{"file", file}, {"offset", offset + 1}}) ==
          "validation_error");
    CHECK(client.error_of("idempotency.snapshot_fetch_chunk", {{"offset", 0}}) == "not_found");
    client.call("snapshot.create_all");
    const json::value records = client.call("idempotency.snapshot_fetch_chunk", {{"offset", 0}});
    CHECK(member(records, "done") == json::value(true));
    const json::value info = member(client.call("snapshot.info"), "idempotency_snapshot");
    CHECK(member(info, "record_count") == json::value(2));
    CHECK(member(info, "bytes") == member(records, "total_bytes"));
}

TEST_CASE("moving: snapshot.load survives a crash (defect 3), also of a file that was put there") {
    Daemon daemon(large_requests);
    Client client = daemon.connect();
    client.call("counter.increment", counter("links", 1, 5));
    client.call("snapshot.create", {{"series", "links"}});
    const std::string file = latest_file(client, "links");
    client.call("counter.increment", counter("links", 1, 5));
    client.call("counter.increment", counter("links", 2, 5));
    CHECK(client.call("snapshot.load", {{"file", file}}) == json::value("Tree \"links\" loaded"));
    CHECK(sum(client, "links", 1) == 5);
    CHECK(sum(client, "links", 2) == 0);
    daemon.restart_after_kill();
    Client later = daemon.connect();
    CHECK(sum(later, "links", 1) == 5);
    CHECK(sum(later, "links", 2) == 0);
    CHECK(later.error_of("ingest.begin", {{"stream_id", "snapshot.load/x"}, {"mode", "add"}}) ==
          "validation_error");
    // {"branches":[{"9":{"table":{20260505:7},"total":7}}],"branches_num":1}
    const std::string tree = std::string(
        "\x82\xA8"
        "branches\x91\x81\x09\x82\xA5"
        "table\x81\xCE\x01\x35\x26\x99\x07\xA5"
        "total\x07\xAC"
        "branches_num\x01");
    write_file(daemon.directory() / "1700000000_moved.tree", tree);
    CHECK(later.call("snapshot.load", {{"file", "1700000000_moved.tree"}}) ==
          json::value("Tree \"moved\" loaded"));
    write_file(daemon.directory() / "1700000001_moved.tree", tree.substr(0, 40));
    CHECK(later.error_of("snapshot.load", {{"file", "1700000001_moved.tree"}}) == "validation_error");
    // A name that stands for two things is not guessed at.
    write_file(daemon.directory() / file, tree);
    CHECK(later.error_of("snapshot.load", {{"file", file}}) == "validation_error");
    daemon.restart_after_kill();
    Client last = daemon.connect();
    CHECK(sum(last, "moved", 9) == 7);
    CHECK(member(last.call("snapshot.verify"), "status") == json::value("ok"));
}

TEST_CASE("moving: a Karma 1.0 directory, with all that its log can hold (defects 1, 5, 6 and 7)") {
    const TempDir old;
    const std::string now = std::to_string(std::time(nullptr));  // records are kept for some days
    // A snapshot of one series, in the middle of the log: what is before it must not be counted again.
    write_file(old / "1700000000_links.tree", tree_of_18('\x01'));
    write_file(
        old / "1700000000_links.tree.meta.json",
        R"({"tree":"links","file":"1700000000_links.tree","timestamp":1700000000,"last_lsn":1,"bytes":57})");
    write_file(old / "1700000009_links.tree", tree_of_18('\x06'));
    write_file(
        old / "1700000009_links.tree.meta.json",
        R"({"tree":"links","file":"1700000009_links.tree","timestamp":1700000009,"last_lsn":3,"bytes":57})");
    write_file(old / "karma.wal.00000000000000000001.segment",
               increment(1, "links", 1) + increment(2, "links", 2) + increment(3, "links", 3));
    write_file(
        old / "karma.wal",
        increment(4, "links", 10, R"(,"idempotency_key":"k4","idempotency_created_at_unix":)" + now) +
            increment(5, "other", 18446744073709551615U) +
            entry(6, R"("op":"series.batch_add","series":"other","items":[[18,20260505,1],[2,20260505,1]])") +
            entry(7, R"("op":"tree.drop","series":"missing")") +
            entry(8, R"("op":"ingest.begin","stream_id":"s","mode":"set")") +
            entry(9, R"("op":"ingest.begin","stream_id":"s","mode":"add")") +
            entry(
                10,
                R"("op":"ingest.chunk","stream_id":"s","series":"third","chunk_seq":1,"items":[[3,20260505,9]])") +
            entry(11, R"("op":"ingest.commit","stream_id":"s")") + increment(12, "links", 100) +
            R"({"v":2,"lsn":13,"entry":{"v":2,"op":"counter.incr)");
    write_file(old / "karma.idempotency.json",
               R"({"records":[{"key":"k1","operation":"increment","fingerprint":")" + std::string(64, 'a') +
                   R"(","response":1,"created_at_unix":)" + now + R"(}],"committed_streams":[]})");
    write_file(
        old / "recovery.json",
        R"({"checkpoints":[{"source":"kafka","offset":"7","event_id":null,"updated_at_unix":1700000000}]})");
    const ProgramResult done = karma_ok({"import", old.path().string()});
    CAPTURE(done.standard_output);
    CHECK(contains(done.standard_output, "12: 6 applied, 3 in the files already, 3 refused"));
    CHECK(contains(done.standard_output, "refused at LSN 6"));
    CHECK(contains(done.standard_output, "refused at LSN 7"));
    CHECK(contains(done.standard_output, "refused at LSN 9"));
    CHECK(contains(done.standard_error, "karma.wal, line 10: the last line is cut short"));
    DaemonOptions options;
    options.directory = old.path();
    Daemon daemon(options);
    Client client = daemon.connect();
    CHECK(sum(client, "links", 18) == 116);
    CHECK(sum(client, "other", 18) == 18446744073709551615U);
    CHECK(sum(client, "other", 2) == 0);
    CHECK(sum(client, "third", 3) == 9);
    json::object again = counter("links", 18, 10);
    again["idempotency_key"] = "k4";
    CHECK(member(client.ask("counter.increment", again), "idempotent") == json::value(true));
    again["idempotency_key"] = "k1";
    CHECK(client.error_of("counter.increment", again) == "idempotency_conflict");
    CHECK(member(client.call("ingest.begin", {{"stream_id", "s"}, {"mode", "set"}}), "status") ==
          json::value("already_committed"));
    CHECK(member(client.call("recovery.status"), "checkpoint_count") == json::value(1));
    CHECK(as_number(member(client.call("snapshot.info"), "wal_current_lsn")) == 12);
    client.call("counter.increment", counter("links", 18, 1));
    daemon.restart_after_kill();
    Client later = daemon.connect();
    CHECK(sum(later, "links", 18) == 117);
    CHECK(member(later.call("snapshot.verify"), "status") == json::value("ok"));
    // The old files are as they were.
    CHECK(read_file(old / "1700000009_links.tree") == tree_of_18('\x06'));
}

TEST_CASE("moving: streams of a Karma 1.0 directory, in the log, in the file of records, in both") {
    const TempDir old;
    const std::string hex(64, 'a');
    const auto stream = [&](const std::string& id) {
        return R"({"stream_id":")" + id + R"(","mode":"add","granularity":null,"series_name":"links",)" +
               R"("last_chunk_seq":1,"begin_fingerprint":")" + hex + R"(","chunk_fingerprints":{"1":")" +
               hex + R"("},"committed_at_unix":1700000000})";
    };
    const auto chunk_of = [](std::uint64_t lsn, const std::string& id, int value) {
        return entry(lsn, R"("op":"ingest.chunk","stream_id":")" + id +
                              R"(","series":"links","chunk_seq":1,"items":[[18,20260505,)" +
                              std::to_string(value) + "]]");
    };
    write_file(old / "1700000000_links.tree", tree_of_18('\x06'));
    write_file(old / "1700000000_links.tree.meta.json", R"({"tree":"links","last_lsn":10})");
    // "done" is in the records only; "both" in records and log, after the file; "open" was begun before the
    // file and not committed.
    write_file(old / "karma.idempotency.json",
               R"({"records":[],"committed_streams":[)" + stream("done") + "," + stream("both") + "]}");
    write_file(old / "karma.wal", entry(8, R"("op":"ingest.begin","stream_id":"open","mode":"add")") +
                                      chunk_of(9, "open", 1) + chunk_of(10, "done", 1) +
                                      entry(11, R"("op":"ingest.begin","stream_id":"both","mode":"add")") +
                                      chunk_of(12, "both", 100) +
                                      entry(13, R"("op":"ingest.commit","stream_id":"both")"));
    karma_ok({"import", old.path().string()});
    DaemonOptions options;
    options.directory = old.path();
    Daemon daemon(options);
    Client client = daemon.connect();
    CHECK(sum(client, "links", 18) == 106);
    const auto status = [&](const char* id) {
        return member(client.call("ingest.begin", {{"stream_id", id}, {"mode", "add"}}), "status");
    };
    CHECK(status("done") == json::value("already_committed"));
    CHECK(status("both") == json::value("already_committed"));
    CHECK(status("open") == json::value("active"));
    // The chunk that was applied is known as a repeat.
    const json::value again =
        client.call("ingest.chunk", {{"stream_id", "open"},
                                     {"series", "links"},
                                     {"chunk_seq", 1},
                                     {"items", json::array{json::array{18, some_bucket, 1}}}});
    CHECK(member(again, "skipped") == json::value(true));
    CHECK(member(client.call("snapshot.verify"), "status") == json::value("ok"));
}

TEST_CASE("moving: what cannot be taken over is named, and nothing is made") {
    const auto refused = [](const TempDir& old, const char* why) {
        const ProgramResult result = karma({"import", old.path().string()});
        CAPTURE(result.standard_error);
        CHECK(result.status.code == 1);
        CHECK(contains(result.standard_error, why));
        CHECK_FALSE(std::filesystem::exists(old / "karma.db"));
    };
    {
        const TempDir old;
        write_file(old / "karma.wal", increment(1, "links", 1) + "rubbish\n" + increment(2, "links", 1));
        refused(old, "karma.wal, line 2");
    }
    {
        const TempDir old;
        write_file(old / "1700000000_links.tree", "rubbish");
        refused(old, "1700000000_links.tree: ");
    }
    {
        const TempDir old;
        write_file(old / "1700000000_links.tree", tree_of_18('\x01'));
        write_file(old / "karma.wal", increment(1, "links", 1));
        refused(old, "no .meta.json");
    }
    {
        const TempDir old;
        write_file(old / "karma.idempotency.json", R"({"records":[{"key":"k","operation":"jump"}]})");
        refused(old, "karma.idempotency.json: records[0].created_at_unix");
    }
    const TempDir nothing;
    CHECK(karma({"import", (nothing / "missing").string()}).status.code != 0);
}

TEST_CASE("moving: damage to the files of a database is found") {
    Daemon daemon(large_requests);
    Client client = daemon.connect();
    fill(client);
    client.call("snapshot.create_all");
    client.call("counter.increment", counter("links", 7, 1));
    daemon.stop(SIGINT);
    CHECK(contains(karma_ok({"verify", daemon.directory().string()}).standard_output, "sound"));
    // The largest table file, in its middle.
    std::filesystem::path longest;
    for (const auto& file : std::filesystem::directory_iterator(daemon.directory() / "karma.db")) {
        const bool is_data = file.path().extension() == ".sst" || file.path().extension() == ".log";
        if (is_data && (longest.empty() || file.file_size() > std::filesystem::file_size(longest))) {
            longest = file.path();
        }
    }
    std::string bytes = read_file(longest);
    for (std::size_t at = bytes.size() / 3; at < bytes.size() / 3 + 64; ++at) {
        bytes[at] = static_cast<char>(bytes[at] ^ 0x55);
    }
    write_file(longest, bytes);
    const ProgramResult found = karma({"verify", daemon.directory().string()});
    CAPTURE(found.standard_output);
    CAPTURE(found.standard_error);
    CHECK(found.status.code != 0);
    CHECK((contains(found.standard_output, "damage: ") || contains(found.standard_error, "orruption")));
}

TEST_CASE("moving: karma history shows what happened") {
    Daemon daemon(large_requests);
    Client client = daemon.connect();
    fill(client);
    const std::string port = std::to_string(daemon.port());
    const ProgramResult table = karma_ok({"history", "--port", port});
    CHECK(contains(table.standard_output, "500 items"));
    CHECK(contains(table.standard_output, "once as reset"));
    const ProgramResult lines =
        karma_ok({"history", "--port", port, "--series", "links", "--key", "7", "--json"});
    CHECK(std::ranges::count(lines.standard_output, '\n') == 2);
    const ProgramResult some = karma_ok({"history", "--port", port, "--limit", "1"});
    CHECK(contains(some.standard_error, "--after-lsn 1"));
    CHECK(karma({"history", "--key", "7"}).status.code == 2);
    const ProgramResult no_time = karma({"history", "--from", "2026-13-01"});
    CHECK(no_time.status.code == 2);
    CHECK(contains(no_time.standard_error, "is no UTC day such as 2026-05-05"));
    CHECK(karma({"history", "--port", port, "--after-lsn", "x"}).status.code == 2);
}

}  // namespace karma::test
