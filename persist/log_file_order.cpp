#include "persist/log_file_order.h"

#include <atomic>
#include <mutex>
#include <string>
#include <utility>

#include <rocksdb/file_system.h>

namespace karma {
namespace {

/// The write-ahead file that was begun last, while it is open.
class NewestLogFile {
public:
    rocksdb::IOStatus sync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) {
        const std::lock_guard lock(mutex_);
        return file_ == nullptr ? rocksdb::IOStatus::OK() : file_->Sync(options, debug);
    }
    void set(rocksdb::FSWritableFile* file) {
        const std::lock_guard lock(mutex_);
        file_ = file;
    }
    /// Waits for a sync of it that is under way.
    void leave(const rocksdb::FSWritableFile* file) {
        const std::lock_guard lock(mutex_);
        if (file_ == file) {
            file_ = nullptr;
        }
    }

private:
    std::mutex mutex_;
    rocksdb::FSWritableFile* file_ = nullptr;
};

/// A write-ahead file. The first error is the answer to everything after it, as nobody knows what the disk
/// holds then. A file that holds nothing unsynced answers a sync by itself, so that none can fail once the
/// next file was begun.
class LogFile final : public rocksdb::FSWritableFileOwnerWrapper {
public:
    LogFile(std::unique_ptr<rocksdb::FSWritableFile> file, std::shared_ptr<NewestLogFile> newest)
        : FSWritableFileOwnerWrapper(std::move(file)), newest_(std::move(newest)) {
        newest_->set(this);
    }
    LogFile(const LogFile&) = delete;
    LogFile& operator=(const LogFile&) = delete;
    ~LogFile() override { newest_->leave(this); }

    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* debug) override {
        has_unsynced_.store(true, std::memory_order_relaxed);
        return unless_failed([&] { return target()->Append(data, options, debug); });
    }
    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                             const rocksdb::DataVerificationInfo& /*verification*/,
                             rocksdb::IODebugContext* debug) override {
        return Append(data, options, debug);
    }
    rocksdb::IOStatus Sync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
        return unless_failed([&] {
            return has_unsynced_.exchange(false, std::memory_order_relaxed) ? target()->Sync(options, debug)
                                                                            : rocksdb::IOStatus::OK();
        });
    }
    rocksdb::IOStatus Fsync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
        return Sync(options, debug);
    }
    rocksdb::IOStatus Close(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
        newest_->leave(this);
        return FSWritableFileOwnerWrapper::Close(options, debug);
    }

private:
    template <typename Work>
    rocksdb::IOStatus unless_failed(Work&& work) {
        if (has_failed_.load(std::memory_order_acquire)) {
            return failure_;
        }
        rocksdb::IOStatus status = work();
        if (!status.ok()) {
            const std::lock_guard lock(failing_);
            if (!has_failed_.load(std::memory_order_relaxed)) {
                failure_ = status;
                has_failed_.store(true, std::memory_order_release);
            }
        }
        return status;
    }

    std::shared_ptr<NewestLogFile> newest_;
    std::atomic<bool> has_unsynced_{true};  // its size may be
    std::mutex failing_;
    std::atomic<bool> has_failed_{false};
    rocksdb::IOStatus failure_;  // not changed once it has failed
};

class LogOrderingFileSystem final : public rocksdb::FileSystemWrapper {
public:
    using rocksdb::FileSystemWrapper::FileSystemWrapper;

    const char* Name() const override { return "KarmaLogOrderingFileSystem"; }

    rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSWritableFile>* result,
                                      rocksdb::IODebugContext* debug) override {
        if (!path.ends_with(".log")) {
            return FileSystemWrapper::NewWritableFile(path, options, result, debug);
        }
        rocksdb::IOStatus status = newest_->sync(options.io_options, debug);
        std::unique_ptr<rocksdb::FSWritableFile> file;
        if (status.ok()) {
            status = FileSystemWrapper::NewWritableFile(path, options, &file, debug);
        }
        if (status.ok()) {
            *result = std::make_unique<LogFile>(std::move(file), newest_);
        }
        return status;
    }

private:
    std::shared_ptr<NewestLogFile> newest_ = std::make_shared<NewestLogFile>();
};

class LogOrderingEnv final : public rocksdb::EnvWrapper {
public:
    explicit LogOrderingEnv(rocksdb::Env& base) : EnvWrapper(&base) {
        file_system_ = std::make_shared<LogOrderingFileSystem>(base.GetFileSystem());
        system_clock_ = base.GetSystemClock();
    }
    const char* Name() const override { return "KarmaLogOrderingEnv"; }
};

}  // namespace

std::unique_ptr<rocksdb::Env> make_log_ordering_env(rocksdb::Env& base) {
    return std::make_unique<LogOrderingEnv>(base);
}

}  // namespace karma
