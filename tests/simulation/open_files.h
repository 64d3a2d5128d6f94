#pragma once

#include <cstddef>
#include <memory>
#include <utility>

namespace karma::test {

// The files that a process may have open.
class OpenFiles {
public:
    explicit OpenFiles(std::size_t limit) : limit_(limit) {}

    std::size_t limit() const noexcept { return limit_; }
    std::size_t used() const noexcept { return used_; }

private:
    friend class OpenFile;
    std::size_t limit_;
    std::size_t used_ = 0;
};

// One of them while it lives, if there was one left.
class OpenFile {
public:
    explicit OpenFile(std::shared_ptr<OpenFiles> files)
        : files_(files->used_ < files->limit_ ? std::move(files) : nullptr) {
        if (files_) {
            ++files_->used_;
        }
    }
    OpenFile(OpenFile&&) noexcept = default;
    OpenFile& operator=(OpenFile&&) = delete;
    OpenFile(const OpenFile&) = delete;
    OpenFile& operator=(const OpenFile&) = delete;
    ~OpenFile() {
        if (files_) {
            --files_->used_;
        }
    }
    bool is_open() const noexcept { return files_ != nullptr; }

private:
    std::shared_ptr<OpenFiles> files_;
};

}  // namespace karma::test
