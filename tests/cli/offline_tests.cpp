// The subcommands that need no daemon: what they print, and how they refuse.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <unistd.h>
#include <vector>

#include <boost/json/parse.hpp>
#include <doctest/doctest.h>

#include "cli/event_text.h"
#include "cli/export.h"
#include "cli/history.h"
#include "cli/import_directory.h"
#include "cli/replay.h"
#include "cli/verify.h"
#include "engine/error.h"
#include "persist/data_directory.h"
#include "persist/database.h"
#include "persist/export.h"
#include "persist/file_name.h"
#include "persist/stored_database.h"
#include "tests/support/temp_dir.h"

namespace karma::cli {

namespace {

namespace json = boost::json;
using test::TempDir;

constexpr Day day = 739'375;  // 2025-05-05

struct Run {
    int status = 0;
    std::string out;
    std::string err;
};

using Subcommand = int (*)(std::span<const std::string>, std::ostream&, std::ostream&);

Run run(Subcommand subcommand, const std::vector<std::string>& args) {
    std::ostringstream out;
    std::ostringstream err;
    const int status = subcommand(args, out, err);
    return {status, out.str(), err.str()};
}

int verify_quietly(std::span<const std::string> args, std::ostream& out, std::ostream& err) {
    return run_verify(args, out, err, false);
}

bool contains(const std::string& text, const std::string& what) {
    return text.find(what) != std::string::npos;
}

std::string facts(const std::string& entry) { return facts_of_entry(json::parse(entry).as_object()); }

/// Three events and a snapshot after the second one.
std::string fill(const std::filesystem::path& directory) {
    DatabaseOptions options;
    options.directory = directory;
    const auto database = Database::open(options);
    database->increment("links", 1, 5, day);
    database->increment("other", 2, 7, day);
    database->save_snapshot();
    database->increment("links", 1, 10, day + 1);
    return database->digest().text();
}

}  // namespace

TEST_CASE("offline: help and wrong usage") {
    const std::pair<Subcommand, std::string> all[] = {{run_export, "export"},
                                                      {run_history, "history"},
                                                      {run_import_directory, "import"},
                                                      {run_replay, "replay"},
                                                      {verify_quietly, "verify"}};
    for (const auto& entry : all) {
        const Subcommand subcommand = entry.first;
        const std::string& name = entry.second;
        CAPTURE(name);
        const Run help = run(subcommand, {"--help"});
        CHECK(help.status == 0);
        CHECK(contains(help.out, "Usage: karma " + name));
        CHECK(contains(help.out, "Exit status"));
        const Run unknown = run(subcommand, {"--no-such-option"});
        CHECK(unknown.status == 2);
        CHECK(contains(unknown.err, "no-such-option"));
        CHECK(contains(unknown.err, "karma " + name + " --help"));
        if (name != "history") {
            CHECK(run(subcommand, {}).status == 2);
            CHECK(contains(run(subcommand, {"a", "b"}).err, "\"b\""));
        }
    }
    CHECK(contains(run(run_replay, {"x", "--until", "yesterday"}).err, "holds no database"));
    CHECK(contains(run(run_replay, {"x", "--format", "xml"}).err, "--format must be tree or csv"));
    CHECK(contains(run(run_export, {"x", "--until", "1"}).err, "--until needs --directory"));
    CHECK(contains(run(run_export, {"x", "--directory", "y", "--no-snapshot"}).err, "excludes --directory"));
    CHECK(contains(run(run_export, {"x", "--directory", "y", "--until", "z"}).err, "--until must be"));
    CHECK(contains(run(run_history, {"--key", "1"}).err, "--key needs --series"));
}

TEST_CASE("offline: verify and replay a directory") {
    const TempDir directory;
    const std::string digest = fill(directory.path());
    const Run verified = run(verify_quietly, {directory.path().string(), "--json"});
    CHECK(verified.status == 0);
    const json::value summary = json::parse(verified.out);
    CHECK(summary.at("sound") == json::value(true));
    CHECK(summary.at("digest") == json::value(digest));
    CHECK(summary.at("rebuilt") == json::value(2));
    CHECK(summary.at("damage").as_array().empty());
    const Run latest = run(run_replay, {directory.path().string(), "--json"});
    CHECK(json::parse(latest.out).at("digest") == json::value(digest));
    const Run earlier =
        run(run_replay, {directory.path().string(), "--until", "2", "--series=links", "--json"});
    const json::value state = json::parse(earlier.out);
    CHECK(state.at("lsn") == json::value(2));
    CHECK(state.at("series").as_array().size() == 1);
    CHECK(state.at("series").at(0).at("total") == json::value("5"));
    const Run before =
        run(run_replay, {directory.path().string(), "--until", "2000-01-01T00:00:00Z", "--json"});
    CHECK(json::parse(before.out).at("lsn") == json::value(0));
    CHECK(run(verify_quietly, {(directory / "none").string()}).status == 2);
    CHECK(run(run_replay, {(directory / "none").string()}).status == 1);
}

namespace {

std::string largest_log(const std::filesystem::path& directory) {
    std::filesystem::path largest;
    for (const auto& file : std::filesystem::directory_iterator(directory / "karma.db")) {
        if (file.path().extension() == ".log" &&
            (largest.empty() || file.file_size() > std::filesystem::file_size(largest))) {
            largest = file.path();
        }
    }
    return largest.string();
}

std::map<std::string, std::string> files_in(const std::filesystem::path& directory) {
    std::map<std::string, std::string> files;
    for (const auto& file : std::filesystem::directory_iterator(directory)) {
        files.emplace(file.path().filename().string(), test::read_file(file.path()));
    }
    return files;
}

/// A directory whose log has a damaged record in its middle, and the digests of the states before it.
struct Damaged {
    explicit Damaged(std::size_t byte_of_header, unsigned bits) {
        DatabaseOptions options;
        options.directory = directory.path();
        options.wal_batch_size = 1;
        {
            const auto database = Database::open(options);
            digests.push_back(database->digest().text());
            for (std::uint64_t lsn = 1; lsn <= 60; ++lsn) {
                database->increment("a series", lsn, lsn, day);
                digests.push_back(database->digest().text());
            }
        }
        // The record of LSN 30: its key is the number, big-endian.
        const std::string path = largest_log(directory.path());
        std::string bytes = test::read_file(path);
        const std::size_t key = bytes.find(std::string("\0\0\0\0\0\0\0\x1E", 8));
        REQUIRE(key != std::string::npos);
        // Its header is 7 bytes, and before the key there are the batch's header and the key's tag.
        std::size_t header = key;
        while (static_cast<unsigned char>(bytes[header + 6]) != 1 || bytes[header + 5] != 0) {
            --header;
        }
        const std::size_t at = byte_of_header < 7 ? header + byte_of_header : key + 20;
        bytes[at] = static_cast<char>(static_cast<unsigned char>(bytes[at]) ^ bits);
        test::write_file(path, bytes);
    }

    TempDir directory;
    std::vector<std::string> digests;
};

}  // namespace

TEST_CASE("offline: what is before the damage of a log can be taken, and nothing is changed") {
    std::size_t byte = 7;
    unsigned bits = 0x41;
    SUBCASE("in what a record holds") {}
    SUBCASE("in its length") { byte = 4; }
    SUBCASE("in its type") { byte = 6; }
    SUBCASE("in its type, which is one of a log file that is used again") {
        byte = 6;
        bits = 4;
    }
    const Damaged damaged(byte, bits);
    const std::string from = damaged.directory.path().string();
    const auto before = files_in(damaged.directory.path() / "karma.db");
    DatabaseOptions options;
    options.directory = from;
    CHECK_THROWS_AS(Database::open(options), CorruptionError);  // this is no way to start
    CHECK(files_in(damaged.directory.path() / "karma.db").contains("CURRENT"));

    const Run verified = run(verify_quietly, {from, "--json"});
    CAPTURE(verified.out);
    CAPTURE(verified.err);
    CHECK(verified.status == 1);
    const json::value summary = json::parse(verified.out);
    CHECK(summary.at("sound") == json::value(false));
    CHECK(contains(verified.out, ".log"));
    const auto until = summary.at("sound_until_lsn").to_number<std::uint64_t>();
    CHECK(until > 0);
    CHECK(until < 30);
    const Run table = run(verify_quietly, {from});
    CHECK(table.status == 1);
    CHECK(contains(table.out, "damage: "));
    CHECK(contains(table.out, "DAMAGED"));

    const std::string last = std::to_string(until);
    const Run replayed = run(run_replay, {from, "--until", last, "--json"});
    CAPTURE(replayed.err);
    REQUIRE(replayed.status == 0);
    CHECK(json::parse(replayed.out).at("digest") == json::value(damaged.digests[until]));
    CHECK(contains(replayed.err, "damaged: "));
    const TempDir scratch;
    CHECK(run(run_export, {(scratch / "out").string(), "--directory", from, "--until", last}).status == 0);
    // Less than what was stored is never taken for all of it.
    CHECK(run(run_replay, {from}).status == 1);
    CHECK(run(run_replay, {from, "--until", "2200-01-01T00:00:00Z"}).status == 1);
    CHECK(run(run_replay, {from, "--until", "30"}).status == 1);
    CHECK(contains(run(run_replay, {from}).err, "LSN " + last));
    const auto after = files_in(damaged.directory.path() / "karma.db");
    for (const auto& file : before) {
        const std::string& name = file.first;
        CAPTURE(name);
        const bool is_info = name.starts_with("LOG");
        CHECK((is_info || (after.contains(name) && after.at(name) == file.second)));
    }
}

TEST_CASE("offline: export as CSV, of one series and of all") {
    const TempDir directory;
    const TempDir scratch;
    fill(directory.path());
    const std::string from = directory.path().string();
    CHECK(run(run_export, {(scratch / "all").string(), "--directory", from, "--format=csv"}).status == 0);
    CHECK(test::read_file(scratch / "all" / "links.csv") ==
          "key,bucket,value\n1,20250505,5\n1,20250506,10\n");
    CHECK(test::read_file(scratch / "all" / "series.json") ==
          "{\"links.csv\":\"links\",\"other.csv\":\"other\"}\n");
    const Run one = run(run_replay, {from, "--until=1", "--series=links", "--export",
                                     (scratch / "one").string(), "--format=csv"});
    CHECK(one.status == 0);
    CHECK(test::read_file(scratch / "one" / "links.csv") == "key,bucket,value\n1,20250505,5\n");
    CHECK_FALSE(std::filesystem::exists(scratch / "one" / "other.csv"));
    const Run again = run(run_export, {(scratch / "one").string(), "--directory", from});
    CHECK(again.status == 1);
    CHECK(contains(again.err, "is not empty"));
    const Run missing = run(run_export, {(scratch / "two").string(), "--directory", from, "--series=none"});
    CHECK(missing.status == 1);
    CHECK(contains(missing.err, "there is no series \"none\""));
    CHECK(run(run_export, {(scratch / "two").string(), "--directory", from}).status == 0);
}

namespace {

/// What an import of a directory says; `into` must not be there afterwards unless it is status 0.
Run import_of(const std::filesystem::path& from, const std::filesystem::path& into,
              std::vector<std::string> more = {}) {
    more.insert(more.end(), {from.string(), "--directory", into.string()});
    Run done = run(run_import_directory, more);
    CHECK(std::filesystem::exists(into) == (done.status == 0));
    return done;
}

}  // namespace

TEST_CASE("offline: an export that was cut short is not taken for all that there was") {
    const TempDir directory;
    const TempDir scratch;
    fill(directory.path());
    const std::string from = directory.path().string();
    const std::filesystem::path whole = scratch / "whole";
    REQUIRE(run(run_export, {whole.string(), "--directory", from}).status == 0);
    const std::filesystem::path cut = scratch / "cut";
    {
        ExportDirectory begun(cut);
        for (const auto& file : std::filesystem::directory_iterator(whole)) {
            if (contains(file.path().filename().string(), "links")) {
                std::filesystem::copy_file(file.path(), cut / file.path().filename());
            }
        }
    }
    CHECK(import_of(whole, scratch / "good").status == 0);
    const Run refused = import_of(cut, scratch / "bad");
    CHECK(refused.status == 1);
    CHECK(contains(refused.err, "has no karma.manifest"));
    CHECK(contains(refused.err, "cut short"));
    const Run not_verified = run(verify_quietly, {cut.string()});
    CHECK(not_verified.status != 0);
    CHECK(contains(not_verified.err, "cut short"));
    // Whoever knows better may say so.
    CHECK(import_of(cut, scratch / "accepted", {"--without-manifest"}).status == 0);
    // Nothing is made in the directory itself either.
    const std::size_t files = files_in(cut).size();
    CHECK(run(run_import_directory, {cut.string()}).status == 1);
    CHECK(files_in(cut).size() == files);
    const TempDir notes;
    test::write_file(notes / "notes.txt", "of something else");
    CHECK(run(run_import_directory, {notes.path().string()}).status == 1);
    CHECK(files_in(notes.path()).size() == 1);
}

TEST_CASE("offline: import and verify compare an export with its manifest") {
    const TempDir directory;
    const TempDir scratch;
    const std::string digest = fill(directory.path());
    const std::filesystem::path out = scratch / "out";
    REQUIRE(run(run_export, {out.string(), "--directory", directory.path().string()}).status == 0);
    const json::value manifest = json::parse(test::read_file(out / "karma.manifest"));
    CHECK(manifest.at("series") == json::value(2));
    CHECK(manifest.at("lsn") == json::value(3));
    CHECK(manifest.at("digest") == json::value(digest));
    CHECK(manifest.at("database_id").as_string().size() == 32);
    CHECK(manifest.at("files").as_array().size() + 1 == files_in(out).size());
    const Run sound = run(verify_quietly, {out.string(), "--json"});
    CHECK(sound.status == 0);
    CHECK(json::parse(sound.out).at("digest") == json::value(digest));
    CHECK(contains(run(verify_quietly, {out.string()}).out, "sound"));
    CHECK(import_of(out, scratch / "sound").status == 0);

    const auto check_refused = [&](const char* name) {
        const Run found = run(verify_quietly, {out.string(), "--json"});
        CHECK(found.status == 1);
        CHECK(contains(found.out, name));
        const Run refused = import_of(out, scratch / "refused");
        CHECK(refused.status == 1);
        CHECK(contains(refused.err, name));
    };
    for (const auto& file : files_in(out)) {
        const std::string& name = file.first;
        const std::string& bytes = file.second;
        CAPTURE(name);
        test::write_file(out / name, bytes.substr(0, bytes.size() / 2));
        check_refused(name.c_str());
        std::string changed = bytes;
        changed[changed.size() / 2] = static_cast<char>(changed[changed.size() / 2] ^ 1);
        test::write_file(out / name, changed);
        check_refused(name.c_str());
        std::filesystem::remove(out / name);
        CHECK(import_of(out, scratch / "refused").status == 1);
        test::write_file(out / name, bytes);
    }
    // What is in the files counts, not what the manifest says of it.
    const std::string text = test::read_file(out / "karma.manifest");
    std::string other = text.substr(0, text.rfind(",\"sha256\"")) + "}\n";  // as earlier versions wrote it
    other.replace(other.find(digest), 4, digest.starts_with("0000") ? "1111" : "0000");
    test::write_file(out / "karma.manifest", other);
    check_refused("digest");
    test::write_file(out / "karma.manifest", text);
    test::write_file(out / "1_other.tree", "");
    check_refused("1_other.tree");
    std::filesystem::remove(out / "1_other.tree");
    CHECK(import_of(out, scratch / "at last").status == 0);
}

TEST_CASE("offline: the digest of an import is that of the original, also after a promotion") {
    const TempDir scratch;
    const std::string data = (scratch / "data").string();
    std::string digest;
    {
        DatabaseOptions options;
        options.directory = data;
        options.read_only = true;
        const auto database = Database::open(options);
        database->promote(std::nullopt);
        database->increment("links", 1, 5, day);
        database->save_snapshot();
        database->increment("links", 2, 5, day);
        REQUIRE(database->epochs().size() == 1);
        digest = database->digest().text();
    }
    const std::string line = "digest " + digest + "\n";
    CHECK(contains(run(run_replay, {data}).out, line));
    CHECK(contains(run(verify_quietly, {data}).out, "digest                " + digest + "\n"));
    const std::string out = (scratch / "out").string();
    CHECK(contains(run(run_export, {out, "--directory", data}).out, line));
    CHECK(contains(run(verify_quietly, {out}).out, digest + "\n"));
    const std::string imported = (scratch / "imported").string();
    CHECK(contains(run(run_import_directory, {out, "--directory", imported}).out,
                   "digest               " + digest + "\n"));
    CHECK(contains(run(verify_quietly, {imported}).out, "digest                " + digest + "\n"));
}

namespace {

/// Makes a directory and what is in it readable for all and writable for nobody, root included: the process
/// is somebody else meanwhile.
class ReadOnly {
public:
    explicit ReadOnly(const std::filesystem::path& directory) : directory_(directory) {
        set(std::filesystem::perms(0555), std::filesystem::perms(0444));
        constexpr uid_t nobody = 65534;
        if (::geteuid() == 0) REQUIRE(::seteuid(nobody) == 0);
        REQUIRE(::access((directory_ / "karma.db" / "CURRENT").c_str(), R_OK) == 0);
    }
    ReadOnly(const ReadOnly&) = delete;
    ReadOnly& operator=(const ReadOnly&) = delete;
    ~ReadOnly() {
        if (::getuid() == 0) CHECK(::seteuid(0) == 0);
        set(std::filesystem::perms(0755), std::filesystem::perms(0644));
    }

private:
    void set(std::filesystem::perms of_directories, std::filesystem::perms of_files) const {
        std::filesystem::permissions(directory_, std::filesystem::perms(0755));
        for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_)) {
            std::filesystem::permissions(entry.path(),
                                         entry.is_directory() ? std::filesystem::perms(0755) : of_files);
        }
        for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_)) {
            if (entry.is_directory()) std::filesystem::permissions(entry.path(), of_directories);
        }
        std::filesystem::permissions(directory_, of_directories);
    }

    std::filesystem::path directory_;
};

std::vector<std::string> names_in(const std::filesystem::path& directory) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
        names.push_back(entry.path().string() + " " + std::to_string(entry.is_directory()));
    }
    std::ranges::sort(names);
    return names;
}

}  // namespace

TEST_CASE("offline: what can only be read is read, with and without a lock in it") {
    const TempDir scratch;
    const std::filesystem::path data = scratch / "data";
    const std::string digest = fill(data);
    std::filesystem::permissions(scratch.path(), std::filesystem::perms(0777));  // for what is exported
    for (const bool has_lock : {true, false}) {
        CAPTURE(has_lock);
        if (!has_lock) std::filesystem::remove(data / "karma.lock");
        const std::string out = (scratch / (has_lock ? "out" : "out again")).string();
        const std::vector<std::string> before = names_in(data);
        {
            const ReadOnly read_only(data);
            const Run verified = run(verify_quietly, {data.string()});
            CHECK(verified.err == "");
            CHECK(verified.status == 0);
            CHECK(contains(verified.out, digest));
            const Run replayed = run(run_replay, {data.string(), "--until=2"});
            CHECK(replayed.err == "");
            CHECK(replayed.status == 0);
            const Run exported = run(run_export, {out, "--directory", data.string()});
            CHECK(exported.err == "");
            CHECK(exported.status == 0);
            CHECK(contains(exported.out, digest));
        }
        CHECK(names_in(data) == before);
    }
}

TEST_CASE("offline: readers share a directory, and a daemon keeps them out") {
    const TempDir scratch;
    const std::filesystem::path data = scratch / "data";
    fill(data);
    const std::string owner = test::read_file(data / "karma.lock");
    {
        const StoredDatabase first(data);
        const StoredDatabase second(data);
        CHECK(test::read_file(data / "karma.lock") == owner);  // nothing is written
        CHECK_THROWS_WITH_AS(DataDirectory{data}, doctest::Contains("in use by another process"),
                             StorageError);
    }
    const DataDirectory held(data);
    const Run refused = run(run_replay, {data.string()});
    CHECK(refused.status == 1);
    CHECK(contains(refused.err, "is in use by another process (pid " + std::to_string(::getpid()) + ")"));
}

TEST_CASE("offline: an export holds the idempotency records of its LSN") {
    const TempDir directory;
    DatabaseOptions options;
    options.directory = directory.path();
    options.threads = false;
    const mutation::PruneRecords prune{std::numeric_limits<std::int64_t>::max(), 2};
    {
        const auto database = Database::open(options);
        const Mutation body = mutation::Increment{"a", 1, day, 1};
        for (int i = 0; i < 10; ++i) {
            database->call(KeyedMutation{&body, "k" + std::to_string(i), {}});
        }
        database->call(Mutation(prune));
        database->save_snapshot();
        database->call(Mutation(prune));
    }
    const auto exported = [&](const std::string& until) {
        const TempDir parent;
        const std::string files = (parent / "files").string();
        std::vector<std::string> args{files, "--directory", directory.path().string()};
        if (!until.empty()) {
            args.insert(args.end(), {"--until", until});
        }
        const Run done = run(run_export, args);
        CAPTURE(done.err);
        CHECK(done.status == 0);
        std::ifstream in(parent / "files" / "karma.idempotency.json");
        const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
        return json::parse(text).as_object().at("records").as_array().size();
    };
    CHECK(exported("") == 6);
    CHECK(exported("11") == 8);
    CHECK(exported("10") == 10);  // from before anything was forgotten
}

TEST_CASE("offline: names of series in names of files") {
    CHECK(file_name_of("links") == "links");
    CHECK(file_name_of("a/b\\c%d") == "a%2Fb%5Cc%25d");
    CHECK(file_name_of("..") == "%2E.");
    for (const char* const name : {"links", "a/b\\c%d", "..", "a%2Fb", "\x01\x7F", "\xC3\xA9"}) {
        CAPTURE(name);
        CHECK(series_of_file_name(file_name_of(name)) == name);
    }
    CHECK_FALSE(series_of_file_name("a%2"));
    CHECK_FALSE(series_of_file_name("a%zz"));
    CHECK_FALSE(series_of_file_name("a/b"));
    CHECK_FALSE(series_of_file_name(file_name_of(std::string(300, 'a'))));
    CHECK(file_name_of(std::string("a\0b\n", 4)) == "a%00b%0A");
    CHECK(file_name_of(std::string(1'000, 'x')).size() < 230);
    for (std::size_t before = 0; before < 4; ++before) {
        std::string name(before, 'a');
        for (int i = 0; i < 150; ++i) {
            name += "\u20ac";  // three bytes
        }
        const std::string file = file_name_of(name);
        const std::size_t characters = (file.find('~') - before) / 3;
        CHECK(file.substr(0, file.find('~')) == name.substr(0, before + characters * 3));
    }
    CHECK(file_name_of(std::string(1'000, 'x')) != file_name_of(std::string(1'001, 'x')));
}

TEST_CASE("history: what an entry did, in a few words") {
    CHECK(facts(R"({"v":2,"op":"counter.increment","series":"a","key":42,"bucket":20260505,"value":7})") ==
          "key 42, 2026-05-05, +7");
    CHECK(facts(R"({"v":2,"op":"counter.decrement","series":"a","key":1,"bucket":20260505,"value":7})") ==
          "key 1, 2026-05-05, -7");
    CHECK(
        facts(
            R"({"v":2,"op":"series.batch_add","series":"a","items":[[1,20260505,18446744073709551615],[2,20260505,1]]})") ==
        "2 items, total 18446744073709551616");
    CHECK(
        facts(
            R"({"v":2,"op":"counter.batch_delete_range","keys":[1,2],"range":{"from":20260101,"to":20260201}})") ==
        "2 keys, 2026-01-01 to 2026-02-01");
    CHECK(facts(R"({"v":2,"op":"ingest.begin","stream_id":"s\n","mode":"add"})") == "stream s\\x0a, add");
    CHECK(facts(R"({"v":2,"op":"system.compact"})").empty());
    CHECK(series_of_entry(json::parse(R"({"series":"a\u001b[2J"})").as_object()).find('\x1b') ==
          std::string::npos);
}

}  // namespace karma::cli
