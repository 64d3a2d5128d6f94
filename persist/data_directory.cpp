#include "persist/data_directory.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "engine/storage.h"
#include "persist/errno_text.h"
#include "persist/sync_directory.h"

namespace karma {

bool is_karma_1_file(const std::string& name) {
    return name.ends_with(".tree") || name.ends_with(".tree.meta.json") || name == "karma.wal" ||
           (name.starts_with("karma.wal.") && name.ends_with(".segment")) || name == "karma.wal.lsn" ||
           name == "karma.idempotency.json" || name == "karma.replication.lsn" || name == "recovery.json";
}

namespace {

/// Creates a directory in one that is there, and syncs its name: a power loss would take it, with all that is
/// in it, otherwise. Those above it are not created: a path that was mistyped would be an empty database.
std::error_code make_durably(const std::filesystem::path& path) {
    std::error_code failure;
    std::filesystem::path whole = std::filesystem::absolute(path, failure).lexically_normal();
    if (!whole.has_filename()) {
        whole = whole.parent_path();  // of "data/"
    }
    if (failure || std::filesystem::exists(whole, failure)) {
        return failure;
    }
    if (!std::filesystem::is_directory(whole.parent_path(), failure)) {
        throw StorageError("--directory " + path.string() + " cannot be created: there is no directory " +
                           whole.parent_path().string() + ". Create that one first, or mend the path");
    }
    std::filesystem::create_directory(whole, failure);
    return failure ? failure : sync_directory(whole.parent_path());
}

}  // namespace

DataDirectory::DataDirectory(std::filesystem::path path, Use use) : path_(std::move(path)) {
    if (use == Use::reading) {
        lock_for_reading();
        return;
    }
    const std::error_code failure = make_durably(path_);
    if (!std::filesystem::is_directory(path_)) {
        throw StorageError("--directory " + path_.string() +
                           " is not a directory that can be created or used" +
                           (failure ? ": " + failure.message() : ""));
    }
    lock();
    try {
        if (use == Use::database) {
            refuse_karma_1();
        }
    } catch (...) {
        ::close(lock_fd_);
        throw;
    }
}

DataDirectory::~DataDirectory() {
    if (lock_fd_ >= 0) {
        ::close(lock_fd_);
    }
}

/// Takes the lock, or refuses and closes its file.
void DataDirectory::refuse_if_held(int operation) {
    if (::flock(lock_fd_, operation | LOCK_NB) == 0) {
        return;
    }
    const bool held = errno == EWOULDBLOCK;
    const std::string why = errno_text();
    char owner[32] = "";
    const ssize_t size = ::pread(lock_fd_, owner, sizeof owner - 1, 0);
    ::close(lock_fd_);
    if (!held) {
        throw StorageError("cannot lock " + (path_ / "karma.lock").string() + ": " + why);
    }
    throw StorageError("--directory " + path_.string() + " is in use by another process" +
                       (size > 0 ? " (pid " + std::string(owner, static_cast<std::size_t>(size)) + ")" : ""));
}

/// Without writing: what is mounted read-only, or belongs to somebody else, is read all the same. Where there
/// is no lock and none can be made, no daemon can use the directory either.
void DataDirectory::lock_for_reading() {
    const std::string name = (path_ / "karma.lock").string();
    lock_fd_ = ::open(name.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0644);
    if (lock_fd_ >= 0) {
        refuse_if_held(LOCK_SH);
        return;
    }
    const bool cannot_be_made = errno == EROFS || errno == EACCES || errno == EPERM;
    const std::string why = errno_text();
    std::error_code failure;
    if (!cannot_be_made || std::filesystem::exists(name, failure)) {
        throw StorageError("cannot open " + name + ": " + why);
    }
}

void DataDirectory::lock() {
    const std::string name = (path_ / "karma.lock").string();
    lock_fd_ = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (lock_fd_ < 0) {
        throw StorageError("cannot open " + name + ": " + errno_text());
    }
    refuse_if_held(LOCK_EX);
    const std::string pid = std::to_string(::getpid());
    if (::ftruncate(lock_fd_, 0) != 0 ||
        ::pwrite(lock_fd_, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
        const std::string why = errno_text();
        ::close(lock_fd_);
        throw StorageError("cannot write to " + name + ": " + why);
    }
}

void DataDirectory::note_database() {
    struct stat status {};
    if (::stat(database().c_str(), &status) != 0) {
        throw StorageError("cannot look at " + database().string() + ": " + errno_text());
    }
    noted_database_ = {status.st_dev, status.st_ino};
}

std::string DataDirectory::loss() const {
    struct stat status {};
    struct stat current {};
    // The file names what the database consists of; RocksDB never leaves it out.
    if (::stat(database().c_str(), &status) != 0 || ::stat((database() / "CURRENT").c_str(), &current) != 0) {
        const bool is_gone = errno == ENOENT || errno == ENOTDIR;
        return is_gone ? database().string() + " was removed or renamed while the daemon uses it"
                       : std::string();
    }
    return noted_database_ == std::pair(status.st_dev, status.st_ino)
               ? std::string()
               : database().string() + " is another one now than the one that the daemon uses";
}

std::string DataDirectory::write_refusal() const {
    const bool is_refused = ::faccessat(AT_FDCWD, database().c_str(), W_OK, AT_EACCESS) != 0 &&
                            (errno == EROFS || errno == EACCES || errno == EPERM);
    return is_refused ? "no file can be made in " + database().string() + ": " + errno_text() : std::string();
}

void DataDirectory::refuse_karma_1() const {
    if (std::filesystem::exists(database())) {
        return;
    }
    for (const auto& entry : std::filesystem::directory_iterator(path_)) {
        if (const std::string name = entry.path().filename().string(); is_karma_1_file(name)) {
            throw StorageError(
                "--directory " + path_.string() + " holds data of Karma 1.0 (" + name +
                ") and no database of this version. Nothing was changed. Take them over with: karma import " +
                path_.string() + "; or give an empty directory to start without them");
        }
    }
}

std::filesystem::path DataDirectory::free_name(const std::string& suffix) const {
    std::filesystem::path aside = path_ / ("karma.db." + suffix);
    for (int number = 1; std::filesystem::exists(aside); ++number) {
        aside = path_ / ("karma.db." + suffix + "-" + std::to_string(number));
    }
    return aside;
}

std::filesystem::path DataDirectory::set_aside(const std::string& suffix) {
    if (!std::filesystem::exists(database())) {
        return {};
    }
    std::filesystem::path aside = free_name(suffix);
    std::error_code failure;
    std::filesystem::rename(database(), aside, failure);
    if (failure) {
        throw StorageError("cannot rename " + database().string() + " to " + aside.string() + ": " +
                           failure.message());
    }
    return aside;
}

}  // namespace karma
