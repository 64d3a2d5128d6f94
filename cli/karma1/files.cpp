#include "cli/karma1/files.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <fstream>
#include <iterator>
#include <map>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "cli/input_file.h"
#include "cli/json_text.h"
#include "cli/text.h"
#include "engine/storage.h"
#include "engine/utf8.h"

namespace karma::cli {

namespace json = boost::json;

namespace {

std::string whole_file(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    if (!in && !in.eof()) {
        throw InputError("cannot read " + path.string());
    }
    return text;
}

std::optional<std::uint64_t> to_number(std::string_view digits) {
    std::uint64_t number = 0;
    const char* const end = digits.data() + digits.size();
    const auto read = std::from_chars(digits.data(), end, number);
    return read.ec == std::errc{} && read.ptr == end ? std::optional(number) : std::nullopt;
}

/// Throws InputError, with `place` in front, for an LSN that leaves no room for what follows it.
void require_in_range(Lsn lsn, const std::string& place) {
    if (lsn > imported_lsn_max) {
        throw InputError(place + ": LSN " + std::to_string(lsn) + " is above " +
                         std::to_string(imported_lsn_max) + ", the highest that can be imported");
    }
}

void read_metadata(TreeFile& file) {
    const std::filesystem::path path = file.path.string() + ".meta.json";
    if (!std::filesystem::exists(path)) {
        return;
    }
    boost::system::error_code failure;
    const json::value value = json::parse(whole_file(path), failure);
    const json::object* const object = failure ? nullptr : value.if_object();
    const json::value* const lsn = object == nullptr ? nullptr : object->if_contains("last_lsn");
    if (lsn == nullptr) {
        throw InputError(path.string() + ": no JSON object with last_lsn");
    }
    file.last_lsn = lsn->to_number<Lsn>(failure);
    if (failure) {
        throw InputError(path.string() + ": last_lsn is no LSN");
    }
    require_in_range(*file.last_lsn, path.string() + ": last_lsn");
    if (const json::value* const tree = object->if_contains("tree"); tree != nullptr && tree->is_string()) {
        file.series = tree->get_string();
    }
}

struct LogFile {
    std::filesystem::path path;
    Lsn first_lsn = 0;
};

/// In the order in which they were written.
std::vector<LogFile> find_log_files(const std::filesystem::path& directory) {
    std::vector<LogFile> files;
    constexpr std::string_view prefix = "karma.wal.";
    constexpr std::string_view extension = ".segment";
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        const std::string name = entry.path().filename().string();
        if (!name.starts_with(prefix) || !name.ends_with(extension)) {
            continue;
        }
        const std::string_view digits =
            std::string_view(name).substr(prefix.size(), name.size() - prefix.size() - extension.size());
        const std::optional<std::uint64_t> first = to_number(digits);
        if (!first) {
            throw InputError(entry.path().string() + ": the name of a log segment must hold its first LSN");
        }
        files.push_back({entry.path(), *first});
    }
    std::ranges::sort(files, {}, &LogFile::first_lsn);
    if (const std::filesystem::path last = directory / "karma.wal"; std::filesystem::exists(last)) {
        files.push_back({last, 0});
    }
    return files;
}

/// Whether an entry is one of Karma 0.1.
bool is_v1_entry(const json::object& entry) {
    const json::value* const command = entry.if_contains("command");
    return command != nullptr && command->is_string() && !entry.contains("lsn") && !entry.contains("v");
}

/// The LSN and the entry of a line; nothing where it is none. An entry of Karma 0.1 has no LSN yet.
std::optional<LogLine> parse_line(std::string_view line) {
    boost::system::error_code failure;
    const json::value value = json::parse(line, failure);
    const json::object* const object = failure ? nullptr : value.if_object();
    if (object != nullptr && is_v1_entry(*object)) {
        LogLine of_v1;
        of_v1.entry = line;
        of_v1.is_v1 = true;
        return of_v1;
    }
    const json::value* const lsn = object == nullptr ? nullptr : object->if_contains("lsn");
    const json::value* const entry = object == nullptr ? nullptr : object->if_contains("entry");
    if (lsn == nullptr || entry == nullptr || !entry->is_object()) {
        return std::nullopt;
    }
    LogLine parsed;
    parsed.lsn = lsn->to_number<Lsn>(failure);
    const std::optional<std::string_view> text = member_text(line, "entry");
    // The text is that of the first one, where there are two.
    if (failure || parsed.lsn == 0 || !text || !text->starts_with('{')) {
        return std::nullopt;
    }
    parsed.entry = *text;
    return parsed;
}

std::int64_t modified_unix(const std::filesystem::path& path) {
    const auto written = std::chrono::file_clock::to_sys(std::filesystem::last_write_time(path));
    return std::chrono::duration_cast<std::chrono::seconds>(written.time_since_epoch()).count();
}

/// Hands the lines of one file on.
class LineReader {
public:
    LineReader(const std::filesystem::path& path, bool is_last_file, LogSummary& summary)
        : path_(path), is_last_file_(is_last_file), summary_(summary) {}

    void read(Lsn& last_lsn, const std::function<void(const LogLine&)>& visit) {
        std::ifstream file(path_, std::ios::binary);
        modified_unix_ = modified_unix(path_);
        std::string line;
        for (std::uint64_t number = 1; std::getline(file, line); ++number) {
            if (!trimmed(line).empty() && !take(trimmed(line), number, file, last_lsn, visit)) {
                return;
            }
        }
        if (!file.eof()) {
            throw StorageError("cannot read " + path_.string());
        }
    }

private:
    /// Hands a line on. False where it is the last one, and torn.
    bool take(std::string_view text, std::uint64_t number, const std::ifstream& file, Lsn& last_lsn,
              const std::function<void(const LogLine&)>& visit) {
        const std::string place = path_.string() + ", line " + std::to_string(number);
        std::optional<LogLine> line = parse_line(text);
        if (!line) {
            // One with its newline was written as a whole: what is wrong with it is no torn write, and it may
            // hold an entry that was acknowledged.
            if (is_last_file_ && file.eof()) {
                summary_.torn = place;
                return false;
            }
            throw InputError(place + ": no log entry: " + cli::quoted(text));
        }
        if (summary_.entries != 0 && line->is_v1 != summary_.is_v1) {
            throw InputError(place + ": an entry of Karma " + (line->is_v1 ? "0.1" : "1.0") +
                             " in a log of Karma " + (line->is_v1 ? "1.0: " : "0.1: ") + cli::quoted(text));
        }
        summary_.is_v1 = line->is_v1;
        if (line->is_v1) {
            line->lsn = last_lsn + 1;
        }
        require_in_range(line->lsn, place);
        line->place = place;
        line->modified_unix = modified_unix_;
        hand_on(*line, last_lsn, visit);
        return true;
    }

    void hand_on(const LogLine& line, Lsn& last_lsn, const std::function<void(const LogLine&)>& visit) {
        if (line.lsn <= last_lsn) {
            ++summary_.repeated;
            return;
        }
        if (last_lsn != 0 && line.lsn != last_lsn + 1) {
            summary_.gaps.push_back("from LSN " + std::to_string(last_lsn + 1) + " to " +
                                    std::to_string(line.lsn - 1) + ", before " + line.place);
        }
        last_lsn = line.lsn;
        ++summary_.entries;
        visit(line);
    }

    const std::filesystem::path& path_;
    bool is_last_file_;
    LogSummary& summary_;
    std::int64_t modified_unix_ = 0;
};

}  // namespace

std::optional<TreeFile> tree_file(const std::filesystem::path& path) {
    const std::string name = path.filename().string();
    constexpr std::string_view extension = ".tree";
    const std::size_t underscore = name.find('_');
    if (!name.ends_with(extension) || underscore == std::string::npos) {
        return std::nullopt;
    }
    const std::optional<std::uint64_t> timestamp = to_number(std::string_view(name).substr(0, underscore));
    const std::size_t size = name.size() - underscore - 1 - extension.size();
    if (!timestamp || size == 0) {
        return std::nullopt;
    }
    return TreeFile{path, name.substr(underscore + 1, size), *timestamp, std::nullopt};
}

std::vector<TreeFile> find_tree_files(const std::filesystem::path& directory) {
    std::map<std::string, TreeFile> latest;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        std::optional<TreeFile> file = tree_file(entry.path());
        if (!file || !entry.is_regular_file()) {
            continue;
        }
        read_metadata(*file);
        if (!is_utf8(file->series)) {
            throw InputError(file->path.string() +
                             ": the name of its series is not UTF-8: rename the file, or name the series in "
                             "a field tree of its .meta.json");
        }
        const auto [at, is_new] = latest.try_emplace(file->series, *file);
        if (!is_new && std::pair(file->timestamp, file->last_lsn) >
                           std::pair(at->second.timestamp, at->second.last_lsn)) {
            at->second = *file;
        }
    }
    std::vector<TreeFile> files;
    for (auto& entry : latest) {
        files.push_back(std::move(entry.second));
    }
    return files;
}

LogSummary read_log_files(const std::filesystem::path& directory,
                          const std::function<void(const LogLine&)>& visit) {
    LogSummary summary;
    Lsn last_lsn = 0;
    const std::vector<LogFile> files = find_log_files(directory);
    for (const LogFile& file : files) {
        LineReader(file.path, &file == &files.back(), summary).read(last_lsn, visit);
    }
    return summary;
}

bool has_karma1_files(const std::filesystem::path& directory) {
    constexpr const char* names[] = {"karma.wal", "karma.wal.lsn", "karma.idempotency.json", "recovery.json"};
    return std::ranges::any_of(names,
                               [&](const char* name) { return std::filesystem::exists(directory / name); }) ||
           !find_log_files(directory).empty() || !find_tree_files(directory).empty();
}

bool has_log_end(const std::filesystem::path& directory) {
    return std::filesystem::exists(directory / "karma.wal.lsn") || !find_log_files(directory).empty();
}

Lsn read_lsn_file(const std::filesystem::path& path) {
    if (!std::filesystem::exists(path)) {
        return 0;
    }
    const std::string text = whole_file(path);
    const std::optional<std::uint64_t> lsn = to_number(trimmed(text));
    if (!lsn) {
        throw InputError(path.string() + ": no LSN: " + cli::quoted(text));
    }
    require_in_range(*lsn, path.string());
    return *lsn;
}

}  // namespace karma::cli
