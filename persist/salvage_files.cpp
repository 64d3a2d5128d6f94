#include "persist/salvage_files.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "persist/log_file_check.h"

namespace karma {
namespace {

/// A file that is in memory.
class TextFile final : public rocksdb::FSSequentialFile {
public:
    explicit TextFile(std::string bytes) : bytes_(std::move(bytes)) {}

    rocksdb::IOStatus Read(std::size_t count, const rocksdb::IOOptions& /*options*/, rocksdb::Slice* result,
                           char* scratch, rocksdb::IODebugContext* /*debug*/) override {
        count = std::min(count, bytes_.size() - at_);
        std::memcpy(scratch, bytes_.data() + at_, count);
        at_ += count;
        *result = rocksdb::Slice(scratch, count);
        return rocksdb::IOStatus::OK();
    }
    rocksdb::IOStatus Skip(std::uint64_t count) override {
        at_ += std::min<std::uint64_t>(count, bytes_.size() - at_);
        return rocksdb::IOStatus::OK();
    }

private:
    std::string bytes_;
    std::size_t at_ = 0;
};

class SalvageFileSystem final : public rocksdb::FileSystemWrapper {
public:
    using rocksdb::FileSystemWrapper::FileSystemWrapper;

    const char* Name() const override { return "KarmaSalvageFileSystem"; }

    rocksdb::IOStatus NewSequentialFile(const std::string& path, const rocksdb::FileOptions& options,
                                        std::unique_ptr<rocksdb::FSSequentialFile>* result,
                                        rocksdb::IODebugContext* debug) override {
        if (!path.ends_with(".log")) {
            return FileSystemWrapper::NewSequentialFile(path, options, result, debug);
        }
        std::string bytes;
        const rocksdb::Status status = rocksdb::ReadFileToString(target(), path, &bytes);
        if (!status.ok()) {
            return rocksdb::status_to_io_status(rocksdb::Status(status));
        }
        *result = std::make_unique<TextFile>(readable_past_damage(std::move(bytes)));
        return rocksdb::IOStatus::OK();
    }
};

}  // namespace

std::unique_ptr<rocksdb::Env> make_salvage_env(const std::shared_ptr<rocksdb::FileSystem>& disk) {
    return rocksdb::NewCompositeEnv(std::make_shared<SalvageFileSystem>(disk));
}

}  // namespace karma
