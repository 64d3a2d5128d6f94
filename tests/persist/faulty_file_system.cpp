#include "tests/persist/faulty_file_system.h"

#include <algorithm>
#include <chrono>
#include <span>
#include <thread>
#include <utility>

#include <rocksdb/system_clock.h>

#include "tests/support/settings.h"

namespace karma::test {

namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

std::string directory_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

std::string without_end(std::string path) {
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    return path;
}

IOStatus missing(const std::string& path) { return IOStatus::PathNotFound(path, "no such file"); }

IOStatus eio(const std::string& path) { return IOStatus::IOError(path, "input/output error (made up)"); }

class SilentLogger final : public rocksdb::Logger {
public:
    using rocksdb::Logger::Logv;
    void Logv(const char* /*format*/, va_list /*arguments*/) override {}
    std::size_t GetLogFileSize() const override { return 0; }
};

/// RocksDB sleeps for a second after each background failure.
class HastyClock final : public rocksdb::SystemClockWrapper {
public:
    HastyClock() : SystemClockWrapper(rocksdb::SystemClock::Default()) {}
    const char* Name() const override { return "HastyClock"; }
    void SleepForMicroseconds(int micros) override { target_->SleepForMicroseconds(micros / 1'000); }
};

class HastyEnv final : public rocksdb::EnvWrapper {
public:
    explicit HastyEnv(const std::shared_ptr<rocksdb::FileSystem>& disk)
        : EnvWrapper(rocksdb::NewCompositeEnv(disk)) {
        file_system_ = disk;
        system_clock_ = std::make_shared<HastyClock>();
    }
    const char* Name() const override { return "HastyEnv"; }
};

/// A disk tries for a while before it gives up: other threads come to the same file meanwhile.
IOStatus slow_if_failed(IOStatus status) {
    if (!status.ok()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return status;
}

struct HeldLock final : rocksdb::FileLock {
    explicit HeldLock(std::string name) : path(std::move(name)) {}
    std::string path;
};

}  // namespace

class FaultyWritableFile final : public rocksdb::FSWritableFile {
public:
    FaultyWritableFile(FaultyFileSystem& disk, std::string path, FaultyFileSystem::NodeRef node)
        : disk_(disk), path_(std::move(path)), node_(std::move(node)), open_(disk) {}

    using rocksdb::FSWritableFile::Append;
    IOStatus Append(const Slice& data, const IOOptions& /*options*/, IODebugContext* /*debug*/) override {
        return slow_if_failed([&] {
            const std::lock_guard lock(disk_.mutex_);
            return disk_.append(path_, *node_, data);
        }());
    }
    IOStatus Truncate(std::uint64_t size, const IOOptions& /*options*/, IODebugContext* /*debug*/) override {
        const std::lock_guard lock(disk_.mutex_);
        node_->bytes.resize(std::min<std::size_t>(node_->bytes.size(), size));
        node_->synced = std::min(node_->synced, node_->bytes.size());
        return IOStatus::OK();
    }
    IOStatus Close(const IOOptions& /*options*/, IODebugContext* /*debug*/) override {
        open_.close();
        return IOStatus::OK();
    }
    IOStatus Flush(const IOOptions& /*options*/, IODebugContext* /*debug*/) override {
        return IOStatus::OK();
    }
    IOStatus Sync(const IOOptions& /*options*/, IODebugContext* /*debug*/) override {
        return slow_if_failed([&] {
            const std::lock_guard lock(disk_.mutex_);
            return disk_.sync(path_, *node_);
        }());
    }
    bool IsSyncThreadSafe() const override { return true; }
    std::uint64_t GetFileSize(const IOOptions& /*options*/, IODebugContext* /*debug*/) override {
        const std::lock_guard lock(disk_.mutex_);
        return node_->bytes.size();
    }

private:
    FaultyFileSystem& disk_;
    std::string path_;
    FaultyFileSystem::NodeRef node_;
    FaultyFileSystem::OpenFile open_;
};

class FaultyReader final : public rocksdb::FSRandomAccessFile, public rocksdb::FSSequentialFile {
public:
    FaultyReader(FaultyFileSystem& disk, std::string path, FaultyFileSystem::NodeRef node)
        : disk_(disk), path_(std::move(path)), node_(std::move(node)), open_(disk) {}

    IOStatus Read(std::uint64_t offset, std::size_t size, const IOOptions& /*options*/, Slice* result,
                  char* scratch, IODebugContext* /*debug*/) const override {
        const std::lock_guard lock(disk_.mutex_);
        return disk_.read(path_, *node_, offset, size, result, scratch);
    }
    IOStatus Read(std::size_t size, const IOOptions& /*options*/, Slice* result, char* scratch,
                  IODebugContext* /*debug*/) override {
        const std::lock_guard lock(disk_.mutex_);
        IOStatus status = disk_.read(path_, *node_, at_, size, result, scratch);
        at_ += status.ok() ? result->size() : 0;
        return status;
    }
    IOStatus Skip(std::uint64_t size) override {
        at_ += size;
        return IOStatus::OK();
    }
    IOStatus Prefetch(std::uint64_t /*offset*/, std::size_t /*size*/, const IOOptions& /*options*/,
                      IODebugContext* /*debug*/) override {
        return IOStatus::OK();
    }
    bool use_direct_io() const override { return false; }
    std::size_t GetRequiredBufferAlignment() const override { return 4096; }
    IOStatus InvalidateCache(std::size_t /*offset*/, std::size_t /*size*/) override { return IOStatus::OK(); }
    rocksdb::Temperature GetTemperature() const override { return rocksdb::Temperature::kUnknown; }

private:
    FaultyFileSystem& disk_;
    std::string path_;
    FaultyFileSystem::NodeRef node_;
    FaultyFileSystem::OpenFile open_;
    std::uint64_t at_ = 0;
};

class FaultyDirectory final : public rocksdb::FSDirectory {
public:
    FaultyDirectory(FaultyFileSystem& disk, std::string path)
        : disk_(disk), path_(std::move(path)), open_(disk) {}

    IOStatus Fsync(const IOOptions& /*options*/, IODebugContext* /*debug*/) override {
        const std::lock_guard lock(disk_.mutex_);
        return disk_.sync_directory(path_);
    }
    IOStatus Close(const IOOptions& /*options*/, IODebugContext* /*debug*/) override {
        open_.close();
        return IOStatus::OK();
    }

private:
    FaultyFileSystem& disk_;
    std::string path_;
    FaultyFileSystem::OpenFile open_;
};

// ---- what goes wrong

void FaultyFileSystem::fail(const FaultPlan& plan, std::uint64_t seed) {
    const std::lock_guard lock(mutex_);
    plan_ = plan;
    random_.seed(seed);
    failures_ = 0;
}

void FaultyFileSystem::heal() {
    const std::lock_guard lock(mutex_);
    plan_.reset();
}

void FaultyFileSystem::limit_open_files(std::size_t max) {
    const std::lock_guard lock(mutex_);
    open_files_max_ = max;
}

std::size_t FaultyFileSystem::most_open_files() const {
    const std::lock_guard lock(mutex_);
    return most_open_files_;
}

IOStatus FaultyFileSystem::begin_open(const std::string& path) {
    if (open_files_ >= open_files_max_ || fails(Fault::open_error, path)) {
        return IOStatus::IOError(path, "too many open files (made up)");
    }
    return IOStatus::OK();
}

std::uint64_t FaultyFileSystem::failures() const {
    const std::lock_guard lock(mutex_);
    return failures_;
}

bool FaultyFileSystem::fails(Fault fault, const std::string& path, std::uint64_t amount) {
    if (!plan_ || plan_->fault != fault || path.find(plan_->only) == std::string::npos) {
        return false;
    }
    if (plan_->after >= amount) {
        plan_->after -= amount;
        return false;
    }
    if (failures_ >= plan_->count) {
        return false;
    }
    ++failures_;
    return true;
}

void FaultyFileSystem::crash_after(std::uint64_t operations, Crash crash, std::uint64_t seed,
                                   std::function<void()> on_crash) {
    const std::lock_guard lock(mutex_);
    crash_ = {operations_ + operations, crash, seed, std::move(on_crash)};
}

void FaultyFileSystem::crash_now(Crash crash, std::uint64_t seed) {
    const std::lock_guard lock(mutex_);
    if (!has_crashed_) {
        die({0, crash, seed, nullptr});
    }
}

void FaultyFileSystem::die(const CrashPlan& plan) {
    has_crashed_ = true;
    if (plan.on_crash) {
        plan.on_crash();
    }
    remains_ = what_is_left(plan.crash, plan.seed);
}

bool FaultyFileSystem::has_crashed() const {
    const std::lock_guard lock(mutex_);
    return has_crashed_;
}

std::shared_ptr<FaultyFileSystem> FaultyFileSystem::take_remains() {
    const std::lock_guard lock(mutex_);
    return std::exchange(remains_, nullptr);
}

std::uint64_t FaultyFileSystem::operations() const {
    const std::lock_guard lock(mutex_);
    return operations_;
}

IOStatus FaultyFileSystem::begin_change() {
    if (!has_crashed_ && ++operations_ > crash_.at) {
        die(crash_);
    }
    return has_crashed_ ? IOStatus::IOError("the machine is gone") : IOStatus::OK();
}

std::shared_ptr<FaultyFileSystem> FaultyFileSystem::what_is_left(Crash crash, std::uint64_t seed) const {
    std::mt19937_64 random(seed);
    auto left = std::make_shared<FaultyFileSystem>();
    Names names = names_;
    std::map<std::string, bool> directories = directories_;
    if (crash != Crash::process) {
        // Of what has happened to names a beginning is there, as a journal would have it: often none, or all.
        names = durable_names_;
        std::size_t there = random_between(random, 0, changes_.size());
        switch (random_between(random, 0, 3)) {
            case 0: there = 0; break;
            case 1: there = changes_.size(); break;
            default: break;
        }
        std::erase_if(directories, [](const auto& entry) { return !entry.second; });
        for (const NameChange& change : std::span(changes_).first(there)) {
            for (const auto& [name, node] : change.names) {
                if (name.ends_with('/')) {
                    directories.insert({without_end(name), true});
                } else if (node == nullptr) {
                    names.erase(name);
                } else {
                    names[name] = node;
                }
            }
        }
    }
    for (const auto& entry : directories) {
        left->directories_.insert({entry.first, true});
    }
    std::map<NodeRef, NodeRef> copies;
    for (const auto& [name, node] : names) {
        if (!left->directories_.contains(directory_of(name))) {
            continue;
        }
        NodeRef& copy = copies[node];
        if (copy == nullptr) {
            copy = std::make_shared<Node>();
            copy->bytes = node->bytes;
            if (crash != Crash::process) {
                for (std::size_t i = 0; i < std::min(node->lost.size(), copy->bytes.size()); ++i) {
                    if (node->lost[i] != 0) copy->bytes[i] = 0;
                }
                const std::size_t rest = node->bytes.size() - node->synced;
                std::size_t kept = random_between(random, 0, rest);
                switch (random_between(random, 0, 3)) {
                    case 0: kept = 0; break;
                    case 1: kept = rest; break;
                    default: break;
                }
                copy->bytes.resize(node->synced + kept);
                constexpr std::size_t sector = 512;
                for (std::size_t at = node->synced; crash == Crash::sectors && at < copy->bytes.size();) {
                    const std::size_t end = std::min(copy->bytes.size(), (at / sector + 1) * sector);
                    if (one_in(random, 2))
                        std::fill(copy->bytes.begin() + static_cast<std::ptrdiff_t>(at),
                                  copy->bytes.begin() + static_cast<std::ptrdiff_t>(end), '\0');
                    at = end;
                }
            }
            copy->synced = copy->bytes.size();
        }
        left->names_.insert({name, copy});
    }
    left->durable_names_ = left->names_;
    return left;
}

// ---- by hand

std::vector<std::string> FaultyFileSystem::files() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> all;
    for (const auto& entry : names_) {
        all.push_back(entry.first);
    }
    return all;
}

std::string FaultyFileSystem::content(const std::string& path) const {
    const std::lock_guard lock(mutex_);
    const NodeRef node = find(path);
    return node == nullptr ? std::string() : node->bytes;
}

void FaultyFileSystem::set_content(const std::string& path, std::string content) {
    const std::lock_guard lock(mutex_);
    auto node = std::make_shared<Node>();
    node->synced = content.size();
    node->bytes = std::move(content);
    names_[path] = node;
    durable_names_[path] = node;
}

void FaultyFileSystem::remove(const std::string& path) {
    const std::lock_guard lock(mutex_);
    names_.erase(path);
    durable_names_.erase(path);
}

std::shared_ptr<FaultyFileSystem> FaultyFileSystem::copy() const {
    const std::lock_guard lock(mutex_);
    return what_is_left(Crash::process, 0);
}

// ---- files

FaultyFileSystem::NodeRef FaultyFileSystem::find(const std::string& path) const {
    const auto found = names_.find(path);
    return found == names_.end() ? nullptr : found->second;
}

IOStatus FaultyFileSystem::append(const std::string& path, Node& node, const Slice& data) {
    if (!has_crashed_ && operations_ + 1 > crash_.at) {
        // The crash comes when a part of it is handed over.
        node.bytes.append(data.data(), random_between(random_, 0, data.size()));
    }
    if (IOStatus status = begin_change(); !status.ok()) {
        return status;
    }
    if (fails(Fault::append_error, path)) {
        return eio(path);
    }
    if (fails(Fault::short_append, path)) {
        node.bytes.append(data.data(), random_between(random_, 0, data.size() - (data.empty() ? 0 : 1)));
        return eio(path);
    }
    if (fails(Fault::no_space, path, data.size())) {
        node.bytes.append(data.data(), random_between(random_, 0, data.size() - (data.empty() ? 0 : 1)));
        return IOStatus::NoSpace(path, "no space left on device (made up)");
    }
    node.bytes.append(data.data(), data.size());
    return IOStatus::OK();
}

IOStatus FaultyFileSystem::sync(const std::string& path, Node& node) {
    if (IOStatus status = begin_change(); !status.ok()) {
        return status;
    }
    if (fails(Fault::sync_error, path)) {
        // As Linux does it: the pages count as clean, so that no later sync writes them.
        node.lost.resize(node.bytes.size());
        for (std::size_t i = node.synced; i < node.bytes.size(); ++i) {
            node.lost[i] = 1;
        }
        return eio(path);
    }
    node.synced = node.bytes.size();
    return IOStatus::OK();
}

IOStatus FaultyFileSystem::sync_directory(const std::string& path) {
    if (IOStatus status = begin_change(); !status.ok()) {
        return status;
    }
    if (fails(Fault::directory_sync_error, path)) {
        return eio(path);
    }
    std::erase_if(changes_, [&](const NameChange& change) {
        if (change.directory != path) {
            return false;
        }
        for (const auto& [name, node] : change.names) {
            if (name.ends_with('/')) {
                directories_[without_end(name)] = true;
            } else if (node == nullptr) {
                durable_names_.erase(name);
            } else {
                durable_names_[name] = node;
            }
        }
        return true;
    });
    return IOStatus::OK();
}

IOStatus FaultyFileSystem::read(const std::string& path, const Node& node, std::uint64_t offset,
                                std::size_t size, Slice* result, char* scratch) {
    *result = Slice();
    if (fails(Fault::read_error, path)) {
        return eio(path);
    }
    if (offset < node.bytes.size()) {
        const std::size_t there = std::min<std::size_t>(size, node.bytes.size() - offset);
        node.bytes.copy(scratch, there, offset);
        *result = Slice(scratch, there);
    }
    return IOStatus::OK();
}

void FaultyFileSystem::change_names(std::vector<std::pair<std::string, NodeRef>> names) {
    for (const auto& [name, node] : names) {
        if (name.ends_with('/')) {
            directories_.insert({without_end(name), false});
        } else if (node == nullptr) {
            names_.erase(name);
        } else {
            names_[name] = node;
        }
    }
    std::string directory = directory_of(without_end(names.front().first));
    changes_.push_back({std::move(directory), std::move(names)});
}

IOStatus FaultyFileSystem::create(const std::string& path, std::unique_ptr<rocksdb::FSWritableFile>* result) {
    if (IOStatus status = begin_change(); !status.ok()) {
        return status;
    }
    if (!directories_.contains(directory_of(path))) {
        return missing(path);
    }
    if (IOStatus status = begin_open(path); !status.ok()) {
        return status;
    }
    // An older file of the name lives on for those who have it open, and in the journal of names.
    auto node = std::make_shared<Node>();
    change_names({{path, node}});
    *result = std::make_unique<FaultyWritableFile>(*this, path, std::move(node));
    return IOStatus::OK();
}

IOStatus FaultyFileSystem::NewWritableFile(const std::string& path, const rocksdb::FileOptions& /*options*/,
                                           std::unique_ptr<rocksdb::FSWritableFile>* result,
                                           IODebugContext* /*debug*/) {
    const std::lock_guard lock(mutex_);
    return create(path, result);
}

IOStatus FaultyFileSystem::ReopenWritableFile(const std::string& path,
                                              const rocksdb::FileOptions& /*options*/,
                                              std::unique_ptr<rocksdb::FSWritableFile>* result,
                                              IODebugContext* /*debug*/) {
    const std::lock_guard lock(mutex_);
    NodeRef node = find(path);
    if (node == nullptr) {
        return create(path, result);
    }
    if (IOStatus status = begin_open(path); !status.ok()) {
        return status;
    }
    *result = std::make_unique<FaultyWritableFile>(*this, path, std::move(node));
    return IOStatus::OK();
}

IOStatus FaultyFileSystem::NewSequentialFile(const std::string& path, const rocksdb::FileOptions& /*options*/,
                                             std::unique_ptr<rocksdb::FSSequentialFile>* result,
                                             IODebugContext* /*debug*/) {
    const std::lock_guard lock(mutex_);
    NodeRef node = find(path);
    if (node == nullptr) {
        return missing(path);
    }
    if (IOStatus status = begin_open(path); !status.ok()) {
        return status;
    }
    *result = std::make_unique<FaultyReader>(*this, path, std::move(node));
    return IOStatus::OK();
}

IOStatus FaultyFileSystem::NewRandomAccessFile(const std::string& path,
                                               const rocksdb::FileOptions& /*options*/,
                                               std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
                                               IODebugContext* /*debug*/) {
    const std::lock_guard lock(mutex_);
    NodeRef node = find(path);
    if (node == nullptr) {
        return missing(path);
    }
    if (IOStatus status = begin_open(path); !status.ok()) {
        return status;
    }
    *result = std::make_unique<FaultyReader>(*this, path, std::move(node));
    return IOStatus::OK();
}

// ---- names

IOStatus FaultyFileSystem::NewDirectory(const std::string& path, const IOOptions& /*options*/,
                                        std::unique_ptr<rocksdb::FSDirectory>* result,
                                        IODebugContext* /*debug*/) {
    const std::lock_guard lock(mutex_);
    if (!directories_.contains(without_end(path))) {
        return missing(path);
    }
    if (IOStatus status = begin_open(path); !status.ok()) {
        return status;
    }
    *result = std::make_unique<FaultyDirectory>(*this, without_end(path));
    return IOStatus::OK();
}

IOStatus FaultyFileSystem::FileExists(const std::string& path, const IOOptions& /*options*/,
                                      IODebugContext* /*debug*/) {
    const std::lock_guard lock(mutex_);
    const bool is_there = find(path) != nullptr || directories_.contains(without_end(path));
    return is_there ? IOStatus::OK() : IOStatus::NotFound(path);
}

IOStatus FaultyFileSystem::GetChildren(const std::string& path, const IOOptions& /*options*/,
                                       std::vector<std::string>* result, IODebugContext* /*debug*/) {
    const std::lock_guard lock(mutex_);
    const std::string directory = without_end(path);
    result->clear();
    if (!directories_.contains(directory)) {
        return IOStatus::NotFound(path);
    }
    for (const auto& entry : names_) {
        if (directory_of(entry.first) == directory)
            result->push_back(entry.first.substr(directory.size() + 1));
    }
    return IOStatus::OK();
}

IOStatus FaultyFileSystem::DeleteFile(const std::string& path, const IOOptions& /*options*/,
                                      IODebugContext* /*debug*/) {
    const std::lock_guard lock(mutex_);
    if (IOStatus status = begin_change(); !status.ok()) {
        return status;
    }
    if (find(path) == nullptr) {
        return missing(path);
    }
    change_names({{path, nullptr}});
    return IOStatus::OK();
}

IOStatus FaultyFileSystem::create_directory(const std::string& path) {
    if (IOStatus status = begin_change(); !status.ok()) {
        return status;
    }
    if (!directories_.contains(directory_of(path))) {
        return missing(path);
    }
    change_names({{path + "/", nullptr}});
    return IOStatus::OK();
}

IOStatus FaultyFileSystem::CreateDir(const std::string& path, const IOOptions& /*options*/,
                                     IODebugContext* /*debug*/) {
    const std::lock_guard lock(mutex_);
    return create_directory(without_end(path));
}

IOStatus FaultyFileSystem::CreateDirIfMissing(const std::string& path, const IOOptions& /*options*/,
                                              IODebugContext* /*debug*/) {
    const std::lock_guard lock(mutex_);
    return directories_.contains(without_end(path)) ? IOStatus::OK() : create_directory(without_end(path));
}

IOStatus FaultyFileSystem::DeleteDir(const std::string& path, const IOOptions& /*options*/,
                                     IODebugContext* /*debug*/) {
    return IOStatus::NotSupported(path);
}

IOStatus FaultyFileSystem::GetFileSize(const std::string& path, const IOOptions& /*options*/,
                                       std::uint64_t* size, IODebugContext* /*debug*/) {
    const std::lock_guard lock(mutex_);
    const NodeRef node = find(path);
    if (node == nullptr) {
        return missing(path);
    }
    *size = node->bytes.size();
    return IOStatus::OK();
}

IOStatus FaultyFileSystem::GetFileModificationTime(const std::string& /*path*/, const IOOptions& /*options*/,
                                                   std::uint64_t* time, IODebugContext* /*debug*/) {
    *time = 0;
    return IOStatus::OK();
}

IOStatus FaultyFileSystem::give_name(const std::string& from, const std::string& to,
                                     std::vector<std::pair<std::string, NodeRef>> more) {
    const std::lock_guard lock(mutex_);
    if (IOStatus status = begin_change(); !status.ok()) {
        return status;
    }
    NodeRef node = find(from);
    if (node == nullptr) {
        return missing(from);
    }
    more.insert(more.begin(), {to, std::move(node)});
    change_names(std::move(more));
    return IOStatus::OK();
}

IOStatus FaultyFileSystem::RenameFile(const std::string& from, const std::string& to,
                                      const IOOptions& /*options*/, IODebugContext* /*debug*/) {
    return give_name(from, to, {{from, nullptr}});
}

IOStatus FaultyFileSystem::LinkFile(const std::string& from, const std::string& to,
                                    const IOOptions& /*options*/, IODebugContext* /*debug*/) {
    return give_name(from, to, {});
}

IOStatus FaultyFileSystem::LockFile(const std::string& path, const IOOptions& /*options*/,
                                    rocksdb::FileLock** lock, IODebugContext* /*debug*/) {
    const std::lock_guard guard(mutex_);
    if (std::exchange(locks_[path], true)) {
        return IOStatus::IOError(path, "lock is held");
    }
    *lock = new HeldLock(path);
    return IOStatus::OK();
}

IOStatus FaultyFileSystem::UnlockFile(rocksdb::FileLock* lock, const IOOptions& /*options*/,
                                      IODebugContext* /*debug*/) {
    const std::lock_guard guard(mutex_);
    const std::unique_ptr<HeldLock> held(static_cast<HeldLock*>(lock));
    locks_[held->path] = false;
    return IOStatus::OK();
}

IOStatus FaultyFileSystem::GetTestDirectory(const IOOptions& /*options*/, std::string* path,
                                            IODebugContext* /*debug*/) {
    *path = root;
    return IOStatus::OK();
}

IOStatus FaultyFileSystem::NewLogger(const std::string& /*path*/, const IOOptions& /*options*/,
                                     std::shared_ptr<rocksdb::Logger>* result, IODebugContext* /*debug*/) {
    *result = std::make_shared<SilentLogger>();
    return IOStatus::OK();
}

IOStatus FaultyFileSystem::GetAbsolutePath(const std::string& path, const IOOptions& /*options*/,
                                           std::string* absolute, IODebugContext* /*debug*/) {
    *absolute = path;
    return IOStatus::OK();
}

IOStatus FaultyFileSystem::IsDirectory(const std::string& path, const IOOptions& /*options*/,
                                       bool* is_directory, IODebugContext* /*debug*/) {
    const std::lock_guard lock(mutex_);
    *is_directory = directories_.contains(without_end(path));
    return IOStatus::OK();
}

std::unique_ptr<rocksdb::Env> env_on(const std::shared_ptr<FaultyFileSystem>& disk) {
    return std::make_unique<HastyEnv>(disk);
}

}  // namespace karma::test
