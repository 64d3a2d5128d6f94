#pragma once

#include <filesystem>
#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace karma {

/// Whether a file of this name is one that Karma 1.0 has in its directory.
bool is_karma_1_file(const std::string& name);

/// The directory of a daemon, held against every other one while this object lives.
class DataDirectory {
public:
    /// What the directory is opened for.
    enum class Use {
        database,  // refused where it has files of Karma 1.0 and no database
        import,    // of such files
        reading,   // nothing is changed, nor made but the lock where that is possible
    };

    /// Creates the directory where only it is missing, and not for reading. Throws StorageError when it
    /// cannot be used, or when another process holds it.
    explicit DataDirectory(std::filesystem::path path, Use use = Use::database);
    ~DataDirectory();
    DataDirectory(const DataDirectory&) = delete;
    DataDirectory& operator=(const DataDirectory&) = delete;

    const std::filesystem::path& path() const noexcept { return path_; }

    /// Where the database lies.
    std::filesystem::path database() const { return path_ / "karma.db"; }

    /// The name of a database that is put aside, which nothing has yet. `suffix` is at its end, or before a
    /// number.
    std::filesystem::path free_name(const std::string& suffix) const;

    /// Puts an existing database out of the way, whole, under a name that ends in `suffix`. Returns the name
    /// that it has now, or an empty path where there was none.
    std::filesystem::path set_aside(const std::string& suffix);

    /// Remembers which one the database is; once it is there.
    void note_database();
    /// What has become of the database since, so that what is written to it would not be found again: it was
    /// removed, or another one is in its place. Empty where it is still there.
    std::string loss() const;
    /// Why no file can be made in the database any more; empty where that is possible.
    std::string write_refusal() const;

private:
    void lock();
    void lock_for_reading();
    void refuse_if_held(int operation);
    void refuse_karma_1() const;

    std::filesystem::path path_;
    int lock_fd_ = -1;  // -1: there is none, and none can be made: nobody can use the directory
    std::pair<dev_t, ino_t> noted_database_{};
};

}  // namespace karma
