#pragma once

#include <filesystem>
#include <string>
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
    };

    /// Creates the directory where it is missing. Throws StorageError when it cannot be used, or when another
    /// process holds it.
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

private:
    void lock();
    void refuse_karma_1() const;

    std::filesystem::path path_;
    int lock_fd_ = -1;
};

}  // namespace karma
