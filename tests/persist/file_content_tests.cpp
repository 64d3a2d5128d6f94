#include <filesystem>
#include <string>

#include <doctest/doctest.h>

#include "engine/storage.h"
#include "persist/file_content.h"
#include "tests/support/temp_dir.h"

namespace karma::test {

TEST_CASE("file content: what was read stays, also when the file is cut or removed") {
    const TempDir scratch;
    const std::filesystem::path path = scratch / "1_links.tree";
    const std::string bytes(1'000'000, 'x');
    write_file(path, bytes);
    const FileContent content(path);
    std::filesystem::resize_file(path, 10);  // a page that is mapped and gone ends the process
    CHECK(content.bytes() == bytes);
    std::filesystem::remove(path);
    CHECK(content.bytes() == bytes);
    write_file(scratch / "empty", "");
    CHECK(FileContent(scratch / "empty").bytes().empty());
    CHECK_THROWS_WITH_AS(FileContent(scratch / "none"), doctest::Contains((scratch / "none").c_str()),
                         StorageError);
    CHECK_THROWS_AS(FileContent{scratch.path()}, StorageError);
}

}  // namespace karma::test
