#include "persist/durable_position.h"

#include <algorithm>
#include <memory>
#include <sstream>

#include "engine/checksum.h"
#include "engine/error.h"
#include "engine/storage.h"
#include "persist/log_file_check.h"

namespace karma {
namespace {

constexpr const char* position_name = "karma.mark";
constexpr const char* new_position_name = "karma.mark.new";
constexpr const char* current_name = "CURRENT";

bool is_log(const std::string& name) { return name.ends_with(".log"); }

std::string encode(const DurablePosition& mark) {
    std::ostringstream text;
    text << "lsn " << mark.lsn << "\nmanifest " << mark.manifest << " " << mark.manifest_bytes << "\n";
    if (mark.is_closed) {
        text << "closed " << mark.logs.size() << "\n";
        for (const auto& [name, bytes] : mark.logs) {
            text << name << " " << bytes << "\n";
        }
    }
    const std::string body = text.str();
    return body + "crc32 " + std::to_string(crc32_of(body)) + "\n";
}

std::optional<DurablePosition> decode(const std::string& text) {
    const std::size_t end = text.rfind("crc32 ");
    if (end == std::string::npos ||
        text.substr(end) != "crc32 " + std::to_string(crc32_of(text.substr(0, end))) + "\n") {
        return std::nullopt;
    }
    DurablePosition mark;
    std::istringstream in(text.substr(0, end));
    std::string word;
    std::size_t logs = 0;
    in >> word >> mark.lsn >> word >> mark.manifest >> mark.manifest_bytes;
    if (!in) {
        return std::nullopt;
    }
    mark.is_closed = static_cast<bool>(in >> word >> logs);
    for (std::size_t i = 0; i < logs; ++i) {
        auto& [name, bytes] = mark.logs.emplace_back();
        in >> name >> bytes;
    }
    return mark;
}

[[noreturn]] void refuse(const std::string& file, const std::string& damage) {
    throw CorruptionError(file + " is " + damage);
}

void must(const rocksdb::IOStatus& status, const std::string& what) {
    if (!status.ok()) {
        throw StorageError("cannot " + what + ": " + status.ToString());
    }
}

}  // namespace

std::vector<std::string> DatabaseFiles::names() const {
    std::vector<std::string> names;
    const rocksdb::IOStatus status = disk_.GetChildren(path_, rocksdb::IOOptions(), &names, nullptr);
    if (status.IsNotFound() || status.IsPathNotFound()) {
        return {};
    }
    must(status, "list " + path_);
    std::ranges::sort(names);
    return names;
}

bool DatabaseFiles::exists(const std::string& name) const {
    return disk_.FileExists(path_ + "/" + name, rocksdb::IOOptions(), nullptr).ok();
}

std::string DatabaseFiles::read(const std::string& name) const {
    std::string bytes;
    must(rocksdb::ReadFileToString(&disk_, path_ + "/" + name, &bytes), "read " + path_ + "/" + name);
    return bytes;
}

std::uint64_t DatabaseFiles::size_of(const std::string& name) const {
    std::uint64_t bytes = 0;
    must(disk_.GetFileSize(path_ + "/" + name, rocksdb::IOOptions(), &bytes, nullptr),
         "look at " + path_ + "/" + name);
    return bytes;
}

/// The manifest that CURRENT names.
std::string DatabaseFiles::manifest_name() const {
    std::string name = read(current_name);
    if (!name.empty() && name.back() == '\n') {
        name.pop_back();
    }
    return name;
}

std::optional<DurablePosition> DatabaseFiles::check() const {
    const std::vector<std::string> all = names();
    if (!exists(current_name)) {
        // Before the first CURRENT there are no data; RocksDB would begin anew where it is missing.
        const auto data = std::ranges::find_if(all, [](const std::string& name) {
            return is_log(name) || name.ends_with(".sst") || name == position_name;
        });
        if (data != all.end()) {
            throw CorruptionError("database " + path_ + ": the file CURRENT is missing, though there is " +
                                  *data + ": put the directory back from a backup");
        }
        return std::nullopt;
    }
    const std::string manifest = manifest_name();
    for (const std::string& name : all) {
        if (!is_log(name) && name != manifest) {
            continue;
        }
        if (const std::string damage = hidden_damage(read(name)); !damage.empty()) {
            refuse(path_ + "/" + name, damage);
        }
    }
    std::optional<DurablePosition> mark = read_position();
    if (mark && mark->manifest == manifest) {
        check_sizes(*mark);
    }
    return mark;
}

std::vector<std::string> DatabaseFiles::damage(std::optional<DurablePosition>& mark) const {
    std::vector<std::string> found;
    try {
        mark = check();
    } catch (const CorruptionError& failure) {
        found.emplace_back(failure.what());
        mark = read_position();
    }
    for (const std::string& name : names()) {
        if (is_log(name)) {
            if (const std::string damage = damaged_record(read(name)); !damage.empty()) {
                std::string& what = found.emplace_back(path_);
                what.append("/").append(name).append(" is ").append(damage);
            }
        }
    }
    return found;
}

/// A start of RocksDB makes a manifest of its own: until then the files that were closed are as they were.
void DatabaseFiles::check_sizes(const DurablePosition& mark) const {
    const auto check = [&](const std::string& name, std::uint64_t bytes) {
        if (!exists(name)) {
            throw CorruptionError(path_ + "/" + name + " is missing");
        }
        if (const std::uint64_t now = size_of(name); now < bytes) {
            throw CorruptionError(path_ + "/" + name + " was cut: it has " + std::to_string(now) +
                                  " bytes and had " + std::to_string(bytes));
        }
    };
    check(mark.manifest, mark.manifest_bytes);
    for (const auto& [name, bytes] : mark.logs) {
        check(name, bytes);
    }
}

std::optional<DurablePosition> DatabaseFiles::read_position() const {
    return exists(position_name) ? decode(read(position_name)) : std::nullopt;
}

void DatabaseFiles::write_position(const DurablePosition& mark) const {
    const std::string path = path_ + "/" + position_name;
    const std::string new_path = path_ + "/" + new_position_name;
    must(rocksdb::WriteStringToFile(&disk_, encode(mark), new_path, true), "write " + new_path);
    must(disk_.RenameFile(new_path, path, rocksdb::IOOptions(), nullptr), "rename " + new_path);
    std::unique_ptr<rocksdb::FSDirectory> directory;
    must(disk_.NewDirectory(path_, rocksdb::IOOptions(), &directory, nullptr), "open " + path_);
    must(directory->Fsync(rocksdb::IOOptions(), nullptr), "sync " + path_);
}

/// Not by RocksDB's SyncWAL, which must not be called once a write to a log has failed in the background.
void DatabaseFiles::sync(const std::string& name) const {
    const std::string path = path_ + "/" + name;
    std::unique_ptr<rocksdb::FSWritableFile> file;
    must(disk_.ReopenWritableFile(path, rocksdb::FileOptions(), &file, nullptr), "open " + path);
    must(file->Sync(rocksdb::IOOptions(), nullptr), "sync " + path);
    must(file->Close(rocksdb::IOOptions(), nullptr), "close " + path);
}

DurablePosition DatabaseFiles::mark_of_closed(Lsn lsn) const {
    DurablePosition mark{lsn, manifest_name(), 0, true};
    mark.manifest_bytes = size_of(mark.manifest);
    for (const std::string& name : names()) {
        if (is_log(name)) {
            sync(name);
            mark.logs.emplace_back(name, size_of(name));
        }
    }
    return mark;
}

}  // namespace karma
