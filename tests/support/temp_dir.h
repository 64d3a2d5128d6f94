#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace karma::test {

// A new, empty directory of its own, removed with all it holds at the end. KARMA_TEST_KEEP=1 leaves it and
// prints where it is.
class TempDir {
public:
    TempDir();
    ~TempDir();
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;

    const std::filesystem::path& path() const { return path_; }
    std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

private:
    std::filesystem::path path_;
};

// The whole file as bytes; empty when there is no such file.
std::string read_file(const std::filesystem::path& file);

// Throws std::runtime_error naming the file when it cannot be written.
void write_file(const std::filesystem::path& file, std::string_view content);

}  // namespace karma::test
