#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cli/export_check.h"
#include "cli/karma1/files.h"
#include "cli/karma1/v1_log.h"
#include "engine/engine.h"
#include "engine/storage.h"
#include "net/karma1/entry_decoder.h"
#include "persist/karma1/state.h"

namespace karma::cli {

/// What was taken over from a Karma 1.0 directory.
struct DirectoryImport {
    struct Refused {
        Lsn lsn = 0;
        std::string why;
    };

    std::vector<TreeFile> files;
    LogSummary log;
    std::uint64_t applied = 0;  // entries of the log
    std::uint64_t older = 0;    // that the files of their series held already
    std::uint64_t refused = 0;
    std::vector<Refused> first_refused;  // some of them
    std::uint64_t records = 0;
    std::uint64_t streams = 0;  // committed ones
    std::vector<std::string> warnings;
    std::optional<Day> wal_day;  // of the entries, where the log is of Karma 0.1 and has some
    bool is_wal_day_given = false;
    StateView state;
    std::string digest;
};

/// Builds a state from the files of Karma 1.0: the latest file of each series, then the log after each
/// file's LSN, idempotency records, committed streams and recovery checkpoints. Entries that Karma 1.0 wrote
/// and did not execute are refused here as well. Used once.
class DirectoryImporter {
public:
    /// What is kept of a series that was read.
    enum class Keep : std::uint8_t { all, digest };

    /// `wal_day` is the day of the entries of a log of Karma 0.1, which do not say it; without it they are of
    /// the UTC day on which their file was last changed.
    explicit DirectoryImporter(std::filesystem::path directory, Keep keep = Keep::all,
                               std::optional<Day> wal_day = std::nullopt);

    /// Reads everything. Throws InputError, naming the file and what is wrong there.
    void read();

    /// What was read, to be compared.
    ReadBack read_back() const;

    /// Stores what was read as a new database at `path`, which must not exist: it appears there as a whole.
    DirectoryImport store(const std::filesystem::path& path, std::int64_t now_ms);

private:
    void read_trees();
    void read_tree_file(const TreeFile& file);
    void read_records();
    void read_checkpoints();
    void read_log();
    void apply(const LogLine& line);
    void apply_v1(const LogLine& line);
    void note_v1_log();
    /// Throws InputError if it cannot be told whether the file of the entry's series holds it.
    void check_file_of_series(const Mutation& body, const LogLine& line) const;
    void refuse(const LogLine& line, const std::string& why);
    void warn_of_dropped();
    void write_database(const std::filesystem::path& path, std::int64_t now_ms,
                        std::vector<RecordChange> records);

    std::filesystem::path directory_;
    Keep keep_;
    std::uint64_t hash_seed_;
    std::function<void(ReceivedState&)> install_;  // where the state is to go
    Karma1State state_;
    net::Karma1EntryDecoder decoder_;
    V1Log v1_log_;
    std::map<std::string, Lsn, std::less<>> file_lsns_;
    std::set<std::string, std::less<>> without_lsn_;
    Lsn last_lsn_ = 0;
    ReadBack dropped_;  // of series that were not kept
    Digest dropped_digest_;
    DirectoryImport result_;
};

}  // namespace karma::cli
