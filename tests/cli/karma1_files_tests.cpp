#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "cli/input_file.h"
#include "cli/karma1/files.h"
#include "tests/support/temp_dir.h"

namespace karma::test {

TEST_CASE("karma1 files: what is checked of an entry that is there twice is what is handed on") {
    const TempDir directory;
    const std::string good = "{\"lsn\":1,\"entry\":{\"v\":2}}\n";
    std::vector<std::string> entries;
    const auto read = [&](const std::string& log) {
        entries.clear();
        write_file(directory / "karma.wal", log);
        cli::read_log_files(directory.path(),
                            [&](const cli::LogLine& line) { entries.emplace_back(line.entry); });
    };
    read(good);
    CHECK(entries == std::vector<std::string>{"{\"v\":2}"});
    CHECK_THROWS_AS(read("{\"lsn\":1,\"entry\":3,\"entry\":{\"v\":2}}\n" + good), cli::InputError);
    CHECK(entries.empty());
}

TEST_CASE("karma1 files: only a last line without its newline is torn") {
    const TempDir directory;
    const std::string one = "{\"lsn\":1,\"entry\":{\"v\":2}}\n";
    const std::string two = "{\"lsn\":2,\"entry\":{\"v\":2}}\n";
    const auto read = [&](const std::string& log) {
        write_file(directory / "karma.wal", log);
        return cli::read_log_files(directory.path(), [](const cli::LogLine&) {});
    };
    CHECK(read(one + two.substr(0, 15)).torn.ends_with("karma.wal, line 2"));
    CHECK(read(one + two.substr(0, 15)).entries == 1);
    CHECK(read(one + two.substr(0, two.size() - 1)).entries == 2);
    // A write was torn, and another one followed: the second one was acknowledged.
    CHECK_THROWS_WITH_AS(read(one + two.substr(0, 15) + two), doctest::Contains("line 2: no log entry"),
                         cli::InputError);
    CHECK_THROWS_AS(read(two.substr(0, 15) + "\n\n"), cli::InputError);
}

TEST_CASE("karma1 files: a series whose name is not UTF-8 is refused, by the name of its file") {
    const TempDir directory;
    const std::string name = "1700000000_caf\xE9.tree";
    write_file(directory / name, "");
    CHECK_THROWS_WITH_AS(cli::find_tree_files(directory.path()), doctest::Contains(name.c_str()),
                         cli::InputError);
    // A directory of Karma 1.0 says beside it what the series is called.
    write_file(directory / (name + ".meta.json"), R"({"tree":"café","last_lsn":1})");
    const std::vector<cli::TreeFile> files = cli::find_tree_files(directory.path());
    REQUIRE(files.size() == 1);
    CHECK(files[0].series == "café");
}

}  // namespace karma::test
