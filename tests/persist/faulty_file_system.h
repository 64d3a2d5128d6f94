#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

namespace karma::test {

/// What a disk does wrong.
enum class Fault : std::uint8_t {
    append_error,          // EIO, nothing of it is written
    short_append,          // a part of it is written, then EIO
    no_space,              // ENOSPC once so many bytes were written, a part of the last ones arrives
    sync_error,            // EIO, and what was to be synced is not written later either
    directory_sync_error,  // EIO of the fsync of a directory
    read_error,            // EIO, at a place or in sequence
    open_error,            // EMFILE: a file or directory cannot be opened
};

inline constexpr std::uint64_t forever = std::numeric_limits<std::uint64_t>::max();

struct FaultPlan {
    Fault fault = Fault::append_error;
    std::uint64_t after = 0;        // operations of the kind that succeed before it; no_space: bytes
    std::uint64_t count = forever;  // how many fail then
    std::string only;               // on files whose name has this in it
};

/// What is left after the machine or the process is gone.
enum class Crash : std::uint8_t {
    process,  // all that was handed to the operating system
    power,    // what was synced; of the rest a beginning, torn at any byte
    sectors,  // the same, but of the rest any 512-byte sectors may be there, the others being zero
};

/// A disk in memory for RocksDB. It knows what of it was synced, byte by byte and name by name: files since
/// their last sync, names since the last sync of their directory. Thread-safe.
class FaultyFileSystem final : public rocksdb::FileSystem {
public:
    /// The directory in which everything lies; exists and is durable.
    static constexpr const char* root = "/disk";

    FaultyFileSystem() { directories_.insert({root, true}); }
    ~FaultyFileSystem() override = default;

    /// From now on operations fail as it says; only one plan at a time.
    void fail(const FaultPlan& plan, std::uint64_t seed);
    /// From now on nothing fails.
    void heal();
    /// How often something has failed since `fail`.
    std::uint64_t failures() const;

    /// No more files and directories than these can be open at the same time.
    void limit_open_files(std::size_t max);
    /// As many were open at the same time.
    std::size_t most_open_files() const;

    /// At the `operations`th changing operation from now: `on_crash` is called, what is left then is kept,
    /// and everything fails from there on.
    void crash_after(std::uint64_t operations, Crash crash, std::uint64_t seed,
                     std::function<void()> on_crash);
    /// The same now, unless it has happened already.
    void crash_now(Crash crash, std::uint64_t seed);
    bool has_crashed() const;
    /// What the crash has left, once.
    std::shared_ptr<FaultyFileSystem> take_remains();

    /// Changing operations so far.
    std::uint64_t operations() const;

    // For damage by hand, while nobody has the files open.
    std::vector<std::string> files() const;
    std::string content(const std::string& path) const;
    void set_content(const std::string& path, std::string content);
    void remove(const std::string& path);
    /// A disk with the same files, all of it durable.
    std::shared_ptr<FaultyFileSystem> copy() const;

    const char* Name() const override { return "FaultyFileSystem"; }

    rocksdb::IOStatus NewSequentialFile(const std::string& path, const rocksdb::FileOptions& options,
                                        std::unique_ptr<rocksdb::FSSequentialFile>* result,
                                        rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus NewRandomAccessFile(const std::string& path, const rocksdb::FileOptions& options,
                                          std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
                                          rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSWritableFile>* result,
                                      rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus ReopenWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                         std::unique_ptr<rocksdb::FSWritableFile>* result,
                                         rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus NewDirectory(const std::string& path, const rocksdb::IOOptions& options,
                                   std::unique_ptr<rocksdb::FSDirectory>* result,
                                   rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus FileExists(const std::string& path, const rocksdb::IOOptions& options,
                                 rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus GetChildren(const std::string& path, const rocksdb::IOOptions& options,
                                  std::vector<std::string>* result, rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus DeleteFile(const std::string& path, const rocksdb::IOOptions& options,
                                 rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus CreateDir(const std::string& path, const rocksdb::IOOptions& options,
                                rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus CreateDirIfMissing(const std::string& path, const rocksdb::IOOptions& options,
                                         rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus DeleteDir(const std::string& path, const rocksdb::IOOptions& options,
                                rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus GetFileSize(const std::string& path, const rocksdb::IOOptions& options,
                                  std::uint64_t* size, rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus GetFileModificationTime(const std::string& path, const rocksdb::IOOptions& options,
                                              std::uint64_t* time, rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                                 const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus LinkFile(const std::string& from, const std::string& to,
                               const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus LockFile(const std::string& path, const rocksdb::IOOptions& options,
                               rocksdb::FileLock** lock, rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus UnlockFile(rocksdb::FileLock* lock, const rocksdb::IOOptions& options,
                                 rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus GetTestDirectory(const rocksdb::IOOptions& options, std::string* path,
                                       rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus NewLogger(const std::string& path, const rocksdb::IOOptions& options,
                                std::shared_ptr<rocksdb::Logger>* result,
                                rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus GetAbsolutePath(const std::string& path, const rocksdb::IOOptions& options,
                                      std::string* absolute, rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus IsDirectory(const std::string& path, const rocksdb::IOOptions& options,
                                  bool* is_directory, rocksdb::IODebugContext* debug) override;

private:
    friend class FaultyWritableFile;
    friend class FaultyReader;
    friend class FaultyDirectory;

    /// What takes a descriptor as long as it is there.
    class OpenFile {
    public:
        explicit OpenFile(FaultyFileSystem& disk) : disk_(&disk) {
            const std::size_t open = ++disk.open_files_;
            disk.most_open_files_ = std::max(disk.most_open_files_, open);
        }
        OpenFile(const OpenFile&) = delete;
        OpenFile& operator=(const OpenFile&) = delete;
        ~OpenFile() { close(); }

        void close() noexcept {
            if (disk_ != nullptr) {
                --std::exchange(disk_, nullptr)->open_files_;
            }
        }

    private:
        FaultyFileSystem* disk_;
    };

    struct Node {
        std::string bytes;
        std::size_t synced = 0;  // so many of them survive
        std::string lost;        // '\1' for each byte that no later sync can bring to the disk
    };
    using NodeRef = std::shared_ptr<Node>;
    using Names = std::map<std::string, NodeRef>;

    /// What has happened to names, all or nothing; a null node is a removed name.
    struct NameChange {
        std::string directory;
        std::vector<std::pair<std::string, NodeRef>> names;
    };

    struct CrashPlan {
        std::uint64_t at = forever;
        Crash crash = Crash::process;
        std::uint64_t seed = 0;
        std::function<void()> on_crash;
    };

    // With the mutex held:
    /// Counts a changing operation, and crashes if it is time.
    rocksdb::IOStatus begin_change();
    bool fails(Fault fault, const std::string& path, std::uint64_t amount = 1);
    rocksdb::IOStatus append(const std::string& path, Node& node, const rocksdb::Slice& data);
    rocksdb::IOStatus sync(const std::string& path, Node& node);
    rocksdb::IOStatus sync_directory(const std::string& path);
    rocksdb::IOStatus read(const std::string& path, const Node& node, std::uint64_t offset, std::size_t size,
                           rocksdb::Slice* result, char* scratch);
    rocksdb::IOStatus begin_open(const std::string& path);
    rocksdb::IOStatus create(const std::string& path, std::unique_ptr<rocksdb::FSWritableFile>* result);
    rocksdb::IOStatus create_directory(const std::string& path);
    /// Gives a file another name, and changes the names in `more` with it.
    rocksdb::IOStatus give_name(const std::string& from, const std::string& to,
                                std::vector<std::pair<std::string, NodeRef>> more);
    void change_names(std::vector<std::pair<std::string, NodeRef>> names);
    NodeRef find(const std::string& path) const;
    std::shared_ptr<FaultyFileSystem> what_is_left(Crash crash, std::uint64_t seed) const;
    void die(const CrashPlan& plan);

    mutable std::mutex mutex_;
    Names names_;
    Names durable_names_;
    std::vector<NameChange> changes_;          // names that are not durable yet, in order
    std::map<std::string, bool> directories_;  // and whether they are durable
    std::map<std::string, bool> locks_;
    std::uint64_t operations_ = 0;
    std::atomic<std::size_t> open_files_{0};
    std::size_t open_files_max_ = std::numeric_limits<std::size_t>::max();
    std::size_t most_open_files_ = 0;
    std::optional<FaultPlan> plan_;
    std::mt19937_64 random_;  // of the plan
    std::uint64_t failures_ = 0;
    CrashPlan crash_;
    bool has_crashed_ = false;
    std::shared_ptr<FaultyFileSystem> remains_;
};

/// An environment on a disk, for RocksdbStorage::Options; the disk lives as long as it does.
std::unique_ptr<rocksdb::Env> env_on(const std::shared_ptr<FaultyFileSystem>& disk);

}  // namespace karma::test
