#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

namespace karma {

/// The bytes of a file, read as a whole. The file is not mapped, because truncating it meanwhile would end
/// the process (SIGBUS).
class FileContent {
public:
    /// Throws StorageError that names the file.
    explicit FileContent(const std::filesystem::path& path);

    std::string_view bytes() const noexcept { return bytes_; }

private:
    std::unique_ptr<char[]> buffer_;
    std::string_view bytes_;
};

}  // namespace karma
