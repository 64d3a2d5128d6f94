// The files of a Karma 1.0 directory: the log with its segment, the metadata of a `.tree` file and the number
// of the last event. Zero bytes of the input part them.
#include <algorithm>
#include <array>
#include <string>

#include "cli/input_file.h"
#include "cli/karma1/files.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/temp_dir.h"

namespace karma::test {
namespace {

void check_log(const std::filesystem::path& directory) {
    Lsn last = 0;
    std::uint64_t seen = 0;
    const cli::LogSummary summary = cli::read_log_files(directory, [&](const cli::LogLine& line) {
        expect(line.lsn > last, "LSNs ascend");
        expect(line.entry.starts_with('{') && line.entry.ends_with('}'), "an entry is an object");
        last = line.lsn;
        ++seen;
    });
    expect(summary.entries == seen, "entries are counted");
}

}  // namespace

void run_input(std::string_view input) {
    static const TempDir directory;
    constexpr std::array names{"karma.wal", "karma.wal.1.segment", "17_s.tree.meta.json", "karma.wal.lsn"};
    write_file(directory / "17_s.tree", "");
    for (const char* const name : names) {
        const std::string_view part = input.substr(0, input.find('\0'));
        write_file(directory / name, part);
        input.remove_prefix(std::min(part.size() + 1, input.size()));
    }
    const auto ignoring_errors = [](const auto& act) {
        try {
            act();
        } catch (const cli::InputError&) {}
    };
    ignoring_errors([&] { check_log(directory.path()); });
    ignoring_errors([&] { (void)cli::find_tree_files(directory.path()); });
    ignoring_errors([&] { (void)cli::read_lsn_file(directory / "karma.wal.lsn"); });
}

}  // namespace karma::test
