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

/// A directory to which an export writes its files. A file gets its name when it is complete. All files are
/// synced together, before the manifest lists them.
class ExportDirectory {
public:
    /// Creates the directory. Throws StorageError when it is not empty.
    explicit ExportDirectory(std::filesystem::path path);
    ExportDirectory(const ExportDirectory&) = delete;
    ExportDirectory& operator=(const ExportDirectory&) = delete;

    /// Syncs all files, then writes the manifest and syncs it, which completes the export. Fills in the files
    /// of `manifest`. Throws StorageError.
    void finish(ExportManifest& manifest);

    const std::filesystem::path& path() const noexcept { return path_; }

    using Sink = std::function<void(std::string_view)>;
    /// Writes a file with the contents that `fill` passes to the sink. Returns its size in bytes. Throws
    /// StorageError.
    std::uint64_t write(const std::string& name, const std::function<void(const Sink&)>& fill);
    /// Removes a file that was written. Throws StorageError.
    void remove(const std::string& name);

private:
    void sync_files() const;
    void sync_names() const;

    std::filesystem::path path_;
    std::map<std::string, ExportedFile> files_;  // by name
};

enum class ExportFormat : std::uint8_t { tree, csv };

/// A series that was written.
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
    /// The number of idempotency records that may belong to the exported series: the log does not have their
    /// events any more.
    std::uint64_t records_left_out = 0;
    /// False when the daemon did not show idempotency keys, because the token may only read. That many
    /// records were left out.
    bool has_idempotency_keys = true;
    std::uint64_t records_hidden = 0;
};

/// The metadata file that Karma 1.0 has beside a `.tree` file.
std::string tree_metadata(const ExportedSeries& series, std::int64_t unix_time);

/// `karma.wal.lsn`, `recovery.json`.
void export_lsn(ExportDirectory& directory, Lsn lsn);
void export_checkpoints(ExportDirectory& directory, const std::vector<reply::Checkpoint>& checkpoints);

/// Writes the rows `key,bucket,value` of a `.tree` file.
std::uint64_t export_csv_of_tree(ExportDirectory& directory, const std::string& name, std::string_view tree,
                                 SeriesTotals& totals);

/// Writes the names that the CSV files' series have: series.json.
void export_series_names(ExportDirectory& directory, const std::vector<ExportedSeries>& series);

/// Writes a state, as `.tree` files with all files of a Karma 1.0 directory (which has no place for open
/// ingest streams), or as CSV. `storage` has the records. If `series` is not empty, writes only this series,
/// with its records and streams.
Exported export_state(ExportDirectory& directory, const StateView& state, const Storage& storage,
                      ExportFormat format, std::string_view series, std::int64_t unix_time);

}  // namespace karma
