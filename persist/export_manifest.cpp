#include "persist/export_manifest.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <map>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "engine/error.h"
#include "engine/storage.h"
#include "persist/content_hash.h"
#include "persist/data_directory.h"
#include "persist/errno_text.h"
#include "persist/open_file.h"

namespace karma {

namespace json = boost::json;

namespace {

constexpr std::uint64_t manifest_version = 1;

std::string text_in(const json::object& object, const char* name) {
    const json::value& value = object.at(name);
    return value.is_null() ? std::string() : std::string(value.as_string());
}

json::value text_or_null(const std::string& text) {
    return text.empty() ? json::value(nullptr) : json::value(text);
}

std::string sha256_of(std::string_view text) {
    ContentHash hash;
    hash.add(text);
    return hash.take();
}

/// The end of a manifest, with the hash of all that is before it.
std::string end_with(const std::string& sha256) { return ",\"sha256\":\"" + sha256 + "\"}\n"; }

/// Those of earlier versions have no hash.
void check_hash(const json::object& object, std::string_view text) {
    const json::value* const stored = object.if_contains("sha256");
    if (stored == nullptr) {
        return;
    }
    const std::string end = stored->is_string() ? end_with(std::string(stored->as_string())) : std::string();
    if (end.empty() || !text.ends_with(end) ||
        sha256_of(text.substr(0, text.size() - end.size())) != std::string_view(stored->as_string())) {
        throw CorruptionError("it was changed: its SHA-256 is another one");
    }
}

ExportManifest manifest_in(const json::object& object) {
    if (object.at("karma_export").to_number<std::uint64_t>() != manifest_version) {
        throw CorruptionError("its version is none that this program knows");
    }
    ExportManifest manifest;
    manifest.format = text_in(object, "format");
    manifest.only_series = text_in(object, "only_series");
    manifest.lsn = object.at("lsn").to_number<Lsn>();
    manifest.series = object.at("series").to_number<std::uint64_t>();
    manifest.digest = text_in(object, "digest");
    if (const std::string id = text_in(object, "database_id"); !id.empty()) {
        const std::optional<DatabaseId> known = DatabaseId::from_text(id);
        if (!known) {
            throw CorruptionError("its database_id is none");
        }
        manifest.database_id = *known;
    }
    for (const json::value& one : object.at("files").as_array()) {
        const json::object& file = one.as_object();
        ExportedFile& read = manifest.files.emplace_back(ExportedFile{
            text_in(file, "name"), file.at("bytes").to_number<std::uint64_t>(), text_in(file, "sha256")});
        if (read.name.empty() || read.name.find('/') != std::string::npos) {
            throw CorruptionError("it names a file that cannot be in a directory");
        }
    }
    return manifest;
}

/// Hands the content of a file on, part by part. Throws StorageError.
template <typename Take>
void read_parts(const std::filesystem::path& path, const Take& take) {
    const OpenFile file(path);
    std::vector<char> part(256U << 10U);
    for (ssize_t size = 1; size != 0;) {
        size = file.number() < 0 ? -1 : ::read(file.number(), part.data(), part.size());
        if (size < 0 && (file.number() < 0 || errno != EINTR)) {
            throw StorageError("cannot read " + path.string() + ": " + errno_text());
        }
        if (size > 0) {
            take(std::span<const char>(part.data(), static_cast<std::size_t>(size)));
        }
    }
}

void check_file(const std::filesystem::path& directory, const ExportedFile& file) {
    const std::filesystem::path path = directory / file.name;
    if (!std::filesystem::exists(path)) {
        throw CorruptionError("the file " + file.name + " is missing");
    }
    ContentHash hash;
    std::uint64_t bytes = 0;
    read_parts(path, [&](std::span<const char> part) {
        bytes += part.size();
        hash.add(part);
    });
    if (bytes != file.bytes) {
        throw CorruptionError("the file " + file.name + " has " + std::to_string(bytes) + " bytes and had " +
                              std::to_string(file.bytes));
    }
    if (hash.take() != file.sha256) {
        throw CorruptionError("the file " + file.name + " was changed: its SHA-256 is another one");
    }
}

/// What an import would read must be of the export.
void check_for_others(const std::filesystem::path& directory, const ExportManifest& manifest) {
    std::map<std::string, bool, std::less<>> listed;
    for (const ExportedFile& file : manifest.files) {
        listed.emplace(file.name, true);
    }
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        const std::string name = entry.path().filename().string();
        if (is_karma_1_file(name) && !listed.contains(name)) {
            throw CorruptionError("the file " + name + " is not of this export");
        }
    }
}

}  // namespace

std::uint64_t ExportManifest::bytes() const noexcept {
    std::uint64_t sum = 0;
    for (const ExportedFile& file : files) {
        sum += file.bytes;
    }
    return sum;
}

std::string encoded(const ExportManifest& manifest) {
    const json::object head{
        {"karma_export", manifest_version},
        {"format", manifest.format},
        {"only_series", text_or_null(manifest.only_series)},
        {"lsn", manifest.lsn},
        {"series", manifest.series},
        {"digest", text_or_null(manifest.digest)},
        {"database_id", text_or_null(manifest.database_id.is_known() ? manifest.database_id.text() : "")}};
    std::string text = json::serialize(head);
    text.back() = ',';
    text += "\"files\":[";
    const char* separator = "\n";
    for (const ExportedFile& file : manifest.files) {
        text += separator;
        text += json::serialize(
            json::object{{"name", file.name}, {"bytes", file.bytes}, {"sha256", file.sha256}});
        separator = ",\n";
    }
    text += "\n]";
    text += end_with(sha256_of(text));
    return text;
}

ExportManifest decoded_export_manifest(std::string_view text) {
    boost::system::error_code failure;
    const json::value document = json::parse(text, failure);
    if (failure || !document.is_object()) {
        throw CorruptionError("it is no JSON object");
    }
    try {
        check_hash(document.get_object(), text);
        return manifest_in(document.get_object());
    } catch (const CorruptionError&) {
        throw;
    } catch (const std::exception& wrong) {
        throw CorruptionError(std::string("a field is missing or wrong: ") + wrong.what());
    }
}

std::optional<ExportManifest> checked_export(const std::filesystem::path& directory) {
    const std::filesystem::path path = directory / export_manifest_name;
    if (!std::filesystem::exists(path)) {
        return std::nullopt;
    }
    std::string text;
    read_parts(path, [&](std::span<const char> part) { text.append(part.data(), part.size()); });
    ExportManifest manifest;
    try {
        manifest = decoded_export_manifest(text);
    } catch (const CorruptionError& wrong) {
        throw CorruptionError(path.string() + " is damaged: " + wrong.what());
    }
    try {
        for (const ExportedFile& file : manifest.files) {
            check_file(directory, file);
        }
        check_for_others(directory, manifest);
    } catch (const CorruptionError& wrong) {
        throw CorruptionError("the export " + directory.string() +
                              " is not as it was written: " + wrong.what());
    }
    return manifest;
}

}  // namespace karma
