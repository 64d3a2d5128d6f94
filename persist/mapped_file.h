#pragma once

#include <filesystem>
#include <string_view>

namespace karma {

/// The bytes of a file, mapped into memory to be read: they take none until they are looked at.
class MappedFile {
public:
    /// Throws StorageError that names the file.
    explicit MappedFile(const std::filesystem::path& path);
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;
    ~MappedFile();

    std::string_view bytes() const noexcept { return bytes_; }

private:
    std::string_view bytes_;
};

}  // namespace karma
