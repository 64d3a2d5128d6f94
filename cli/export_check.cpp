#include "cli/export_check.h"

#include <fstream>
#include <iterator>

#include <boost/json/parse.hpp>

#include "cli/input_file.h"
#include "cli/karma1/directory_importer.h"
#include "cli/karma1/files.h"
#include "engine/error.h"

namespace karma::cli {

ReadBack read_back(const std::filesystem::path& directory) {
    DirectoryImporter importer(directory, DirectoryImporter::Keep::digest);
    importer.read();
    return importer.read_back();
}

ExportManifest finish_export(ExportDirectory& directory, const Exported& exported, ExportFormat format,
                             const std::string& only_series) {
    ExportManifest manifest;
    manifest.only_series = only_series;
    manifest.lsn = exported.lsn;
    manifest.series = exported.series.size();
    manifest.database_id = exported.database_id;
    if (format == ExportFormat::csv) {
        manifest.format = "csv";
    } else {
        manifest.digest = read_back(directory.path()).digest;
    }
    directory.finish(manifest);
    return manifest;
}

namespace {

/// The JSON files of an export say that it has a manifest.
bool names_manifest(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    boost::system::error_code failure;
    const boost::json::value document = boost::json::parse(text, failure);
    return !failure && document.is_object() && document.get_object().contains("manifest");
}

/// Whether a directory without a manifest is what a Karma 1.0 leaves: it has a log or the number of its last
/// entry, or at least each of its .tree files has its metadata; and no file is of an export.
bool is_of_karma1(const std::filesystem::path& directory) {
    std::size_t trees = 0;
    std::size_t metadata = 0;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        const std::string name = entry.path().filename().string();
        const bool is_metadata = name.ends_with(".tree.meta.json");
        if ((is_metadata || name == "recovery.json") && names_manifest(entry.path())) {
            return false;
        }
        trees += name.ends_with(".tree") ? 1 : 0;
        metadata += is_metadata ? 1 : 0;
    }
    return has_log_end(directory) || (trees != 0 && trees == metadata);
}

}  // namespace

Importable::Importable(const std::filesystem::path& from) : directory(from) {
    if (!std::filesystem::is_directory(directory)) {
        throw InputError(directory.string() + " is not a directory");
    }
    manifest = checked_export(directory);
    if (manifest && manifest->format != "tree") {
        throw InputError(directory.string() +
                         " is an export as CSV: import its files one by one, with --series");
    }
    if (!manifest && !has_karma1_files(directory)) {
        throw InputError(directory.string() +
                         " has no files of Karma 1.0, and none that karma export writes");
    }
}

void Importable::require_whole() const {
    if (manifest || is_of_karma1(directory)) {
        return;
    }
    throw InputError(directory.string() + " has no " + export_manifest_name +
                     ", which an export ends with: it was cut short, or is not all here. Nothing was made. "
                     "Export or copy it again; or, if all of it is there (of a Karma 1.0 that ran without a "
                     "log), import it with --without-manifest");
}

void check_against(const ExportManifest& manifest, const ReadBack& found) {
    if (found.series != manifest.series) {
        throw CorruptionError("the export has " + std::to_string(found.series) +
                              " series, and its manifest says " + std::to_string(manifest.series));
    }
    if (found.digest != manifest.digest) {
        throw CorruptionError("the state in the files has the digest " + found.digest +
                              ", and the manifest says " + manifest.digest);
    }
}

}  // namespace karma::cli
