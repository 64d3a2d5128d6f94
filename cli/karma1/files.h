#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/number.h"

/// The files of a Karma 1.0 directory, or a Karma 0.1's: see docs/karma-1-formats.md.
namespace karma::cli {

/// The highest LSN that is taken over. The new database goes on behind it, and has as many again to give.
inline constexpr Lsn imported_lsn_max = (Lsn{1} << 63U) - 1;

/// The latest `.tree` file of a series.
struct TreeFile {
    std::filesystem::path path;
    std::string series;
    std::uint64_t timestamp = 0;
    std::optional<Lsn> last_lsn;  // the last event that it holds; none without metadata
};

/// The file that a path names, `<unix seconds>_<series>.tree`, as far as its name says it; nothing where it
/// is of another form.
std::optional<TreeFile> tree_file(const std::filesystem::path& path);

/// The latest file of each series, by series. Throws InputError, naming the file, when metadata cannot be
/// read.
std::vector<TreeFile> find_tree_files(const std::filesystem::path& directory);

/// A line of the log.
struct LogLine {
    Lsn lsn = 0;                     // of an entry of Karma 0.1, which has none: how many it is
    std::string_view entry;          // JSON; good until the callback returns
    std::string place;               // file and line, for messages
    std::int64_t modified_unix = 0;  // of the file
    bool is_v1 = false;              // of Karma 0.1: a request of protocol v1, without a day
};

/// What reading a log has found.
struct LogSummary {
    std::uint64_t entries = 0;
    std::uint64_t repeated = 0;  // of an LSN that was there before
    std::vector<std::string> gaps;
    bool is_v1 = false;  // the entries are those of Karma 0.1
    std::string torn;    // the place of a last line that is cut short; empty where it is whole
};

/// Reads `karma.wal` and its segments in the order of their LSNs; entries of Karma 0.1 in the order in which
/// they are there. Throws InputError, naming file and line, for damage anywhere but in a last line that has
/// no newline, and for entries of both.
LogSummary read_log_files(const std::filesystem::path& directory,
                          const std::function<void(const LogLine&)>& visit);

/// Whether the directory has any file of Karma 1.0.
bool has_karma1_files(const std::filesystem::path& directory);

/// Whether it has a log of Karma 1.0, or the number of its last entry: what is written last where there is no
/// log.
bool has_log_end(const std::filesystem::path& directory);

/// The number in a file such as karma.wal.lsn; 0 where there is none. Throws InputError, also for one above
/// imported_lsn_max.
Lsn read_lsn_file(const std::filesystem::path& path);

}  // namespace karma::cli
