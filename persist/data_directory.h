#pragma once

#include <filesystem>
#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace karma {

/// Whether a file of this name belongs to a directory of Karma 1.0.
bool is_karma_1_file(const std::string& name);

/// The directory of a daemon, locked against other daemons as long as this object lives.
class DataDirectory {
public:
    /// What the directory is opened for.
    enum class Use {
        database,  // refused where it has files of Karma 1.0 and no database
        import,    // of such files
        reading,   // nothing is changed; only the lock file is made, if possible
    };

    /// Creates the directory if only its last part is missing, except for reading. Throws StorageError when
    /// it cannot be used, or when another process holds it.
    explicit DataDirectory(std::filesystem::path path, Use use = Use::database);
    ~DataDirectory();
    DataDirectory(const DataDirectory&) = delete;
    DataDirectory& operator=(const DataDirectory&) = delete;

    const std::filesystem::path& path() const noexcept { return path_; }

    /// The path of the database.
    std::filesystem::path database() const { return path_ / "karma.db"; }

    /// An unused name for a database that is moved aside. It ends in `suffix`, or in `suffix` and a number.
    std::filesystem::path free_name(const std::string& suffix) const;

    /// Renames an existing database to a name that ends in `suffix`. Returns the new name, or an empty path
    /// if there is no database.
    std::filesystem::path set_aside(const std::string& suffix);

    /// Remembers the identity of the database's directory, once it exists.
    void note_database();
    /// Why a restart would not find what is written to the database now: its directory was removed or
    /// replaced. Empty while the directory is in its place.
    std::string loss() const;
    /// Why no file can be made in the database's directory; empty while that is possible.
    std::string write_refusal() const;

private:
    void lock();
    void lock_for_reading();
    void refuse_if_held(int operation);
    void refuse_karma_1() const;

    std::filesystem::path path_;
    int lock_fd_ =
        -1;  // -1: there is no lock file and none can be made, so no other process can use the directory
    std::pair<dev_t, ino_t> noted_database_{};
};

}  // namespace karma
