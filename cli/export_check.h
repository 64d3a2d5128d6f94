#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "persist/export.h"
#include "persist/export_manifest.h"

/// What makes sure that an export is whole, when it is written and when it is used.
namespace karma::cli {

/// The contents of an export, read back from its files.
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

/// The kind of a directory to be imported, as far as it shows before the files are read. Throws InputError,
/// CorruptionError and StorageError if it cannot be imported, or is an export that has changed.
struct Importable {
    explicit Importable(const std::filesystem::path& from);

    /// Throws InputError if nothing shows that the directory is complete: neither a manifest nor a log of
    /// Karma 1.0.
    void require_whole() const;

    std::filesystem::path directory;
    std::optional<ExportManifest> manifest;
};

/// Compares the contents of an export with its manifest. Throws CorruptionError.
void check_against(const ExportManifest& manifest, const ReadBack& found);

}  // namespace karma::cli
