#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace karma::replica {

/// A file for received data that is too large for memory. It has no name, so it is gone with this object or
/// the process. Used by one thread.
class UnnamedFile {
public:
    /// Throws StorageError, as all functions here.
    explicit UnnamedFile(const std::filesystem::path& directory);
    UnnamedFile(const UnnamedFile&) = delete;
    UnnamedFile& operator=(const UnnamedFile&) = delete;
    ~UnnamedFile();

    void append(std::string_view bytes);
    std::uint64_t size() const noexcept { return size_; }
    /// The whole file, mapped into memory. Nothing can be appended any more.
    std::string_view bytes();

private:
    int file_;
    std::uint64_t size_ = 0;
    void* mapped_ = nullptr;
};

}  // namespace karma::replica
