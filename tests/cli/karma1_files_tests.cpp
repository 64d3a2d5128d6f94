#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "cli/input_file.h"
#include "cli/karma1_files.h"
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

}  // namespace karma::test
