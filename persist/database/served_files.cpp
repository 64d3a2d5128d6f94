#include "persist/database/served_files.h"

#include <chrono>

namespace karma {
namespace {

std::filesystem::path directory_for_files(const DataDirectory* directory) {
    return directory != nullptr ? directory->path() : std::filesystem::temp_directory_path();
}

}  // namespace

ServedFiles::ServedFiles(SnapshotStore& snapshots, const RecordTables& tables, const DataDirectory* directory,
                         unsigned snapshots_retained)
    : catalog(snapshots, snapshots_retained),
      trees(snapshots),
      records(tables, karma::directory_for_files(directory), std::chrono::steady_clock::now),
      exports(std::chrono::steady_clock::now),
      directory_(directory) {}

std::filesystem::path ServedFiles::file_in_directory(const std::string& file) const {
    if (directory_ == nullptr) {
        return {};
    }
    std::filesystem::path path = directory_->path() / file;
    std::error_code failure;
    return std::filesystem::is_regular_file(path, failure) ? path : std::filesystem::path();
}

std::filesystem::path ServedFiles::directory_for_files() const {
    return karma::directory_for_files(directory_);
}

void ServedFiles::drop_idle() {
    exports.drop_idle();
    records.drop_idle();
}

void ServedFiles::forget_all(const RecordsFiles::Excluding& no_file) {
    trees.forget_all();
    records.forget_all(no_file);
    exports.forget_all();
}

}  // namespace karma
