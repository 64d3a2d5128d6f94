#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/identity.h"
#include "engine/number.h"

/// What makes an export whole: docs/karma-1-formats.md describes the file.
namespace karma {

/// The file that is written last into the directory of an export. An export without it was interrupted.
constexpr const char* export_manifest_name = "karma.manifest";

struct ExportedFile {
    std::string name;
    std::uint64_t bytes = 0;
    std::string sha256;  // 64 hexadecimal digits

    bool operator==(const ExportedFile&) const = default;
};

struct ExportManifest {
    std::string format = "tree";  // or "csv"
    std::string only_series;      // empty: all of them
    Lsn lsn = 0;                  // the state that the export holds
    std::uint64_t series = 0;
    std::string digest;      // of the state, as an import of the export prints it; empty: not known
    DatabaseId database_id;  // of the database that was exported; may be not known
    std::vector<ExportedFile> files;

    std::uint64_t bytes() const noexcept;

    bool operator==(const ExportManifest&) const = default;
};

/// As the file has it.
std::string encoded(const ExportManifest& manifest);

/// Throws CorruptionError that says what is wrong.
ExportManifest decoded_export_manifest(std::string_view text);

/// Reads the manifest of the export in a directory and compares all files with it. Nothing if there is no
/// manifest. Throws CorruptionError that names a file that is missing, damaged or not part of the export, and
/// StorageError.
std::optional<ExportManifest> checked_export(const std::filesystem::path& directory);

}  // namespace karma
