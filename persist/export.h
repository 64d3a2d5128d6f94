#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "engine/storage.h"
#include "persist/export_manifest.h"
#include "persist/file_name.h"

/// Data as files, to be moved elsewhere: see docs/karma-1-formats.md.
namespace karma {

/// A directory that is filled with files; each gets its name only when it is whole. All are put on disk
/// together, before the manifest says that they are there.
class ExportDirectory {
public:
    /// Creates it. Throws StorageError when there is something in it.
    explicit ExportDirectory(std::filesystem::path path);
    ExportDirectory(const ExportDirectory&) = delete;
    ExportDirectory& operator=(const ExportDirectory&) = delete;

    /// All files are there: puts them on disk, then writes the manifest, which makes the export whole and is
    /// on disk when this returns. `manifest` says what it holds; its files are filled in. Throws
    /// StorageError.
    void finish(ExportManifest& manifest);

    const std::filesystem::path& path() const noexcept { return path_; }

    using Sink = std::function<void(std::string_view)>;
    /// Writes a file: what `fill` hands to the sink. Returns its bytes. Throws StorageError.
    std::uint64_t write(const std::string& name, const std::function<void(const Sink&)>& fill);
    /// Removes one that was written. Throws StorageError.
    void remove(const std::string& name);

private:
    void sync_files() const;
    void sync_names() const;

    std::filesystem::path path_;
    std::map<std::string, ExportedFile> files_;  // by name
};

enum class ExportFormat : std::uint8_t { tree, csv };

/// A series as it was written.
struct ExportedSeries {
    std::string name;
    std::string file;
    SeriesTotals totals;
    std::uint64_t bytes = 0;
    Lsn lsn = 0;
};

struct Exported {
    std::vector<ExportedSeries> series;
    Lsn lsn = 0;
    DatabaseId database_id;  // may be not known
    /// Idempotency records that may be of the only series that was asked for: the log does not hold their
    /// events any more, so that nobody can tell.
    std::uint64_t records_left_out = 0;
    /// False where the daemon did not show idempotency keys, as the token may only read: so many records were
    /// left out.
    bool has_idempotency_keys = true;
    std::uint64_t records_hidden = 0;
};

/// What Karma 1.0 puts beside a `.tree` file.
std::string tree_metadata(const ExportedSeries& series, std::int64_t unix_time);

/// `karma.wal.lsn`, `recovery.json`.
void export_lsn(ExportDirectory& directory, Lsn lsn);
void export_checkpoints(ExportDirectory& directory, const std::vector<reply::Checkpoint>& checkpoints);

/// Writes the rows `key,bucket,value` of a `.tree` file.
std::uint64_t export_csv_of_tree(ExportDirectory& directory, const std::string& name, std::string_view tree,
                                 SeriesTotals& totals);

/// Writes the names that the CSV files' series have: series.json.
void export_series_names(ExportDirectory& directory, const std::vector<ExportedSeries>& series);

/// Writes a state: as `.tree` files with all that a Karma 1.0 directory has (open ingest streams have no
/// place there), or as CSV. `storage` has the records; `series` is the only one where it is not empty, with
/// the records and streams that are its own.
Exported export_state(ExportDirectory& directory, const StateView& state, const Storage& storage,
                      ExportFormat format, std::string_view series, std::int64_t unix_time);

}  // namespace karma
