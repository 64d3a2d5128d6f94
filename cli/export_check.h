#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "persist/export.h"
#include "persist/export_manifest.h"

/// What makes sure that an export is whole, when it is written and when it is used.
namespace karma::cli {

/// What was read back from the files of an export.
struct ReadBack {
    std::uint64_t series = 0;
    std::uint64_t keys = 0;
    std::uint64_t records = 0;
    std::uint64_t streams = 0;
    std::string digest;  // of the state, as an import prints it
};

/// Reads the files of an export as an import does, series after series: memory does not depend on their
/// number. Throws InputError, naming the file.
ReadBack read_back(const std::filesystem::path& directory);

/// Reads back what was written and completes the export with its manifest, which is returned. Throws
/// StorageError and InputError.
ExportManifest finish_export(ExportDirectory& directory, const Exported& exported, ExportFormat format,
                             const std::string& only_series);

/// What a directory to be imported is, as far as it can be told before its files are read. Throws InputError,
/// CorruptionError and StorageError where it is none, or an export that is not as it was written.
struct Importable {
    explicit Importable(const std::filesystem::path& from);

    /// Throws InputError where nothing shows that all is there: neither a manifest nor a Karma 1.0's log.
    void require_whole() const;

    std::filesystem::path directory;
    std::optional<ExportManifest> manifest;
};

/// What was read from an export must be what its manifest says. Throws CorruptionError.
void check_against(const ExportManifest& manifest, const ReadBack& found);

}  // namespace karma::cli
