#include "tests/support/temp_dir.h"

#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <stdlib.h>
#include <system_error>

#include "tests/support/settings.h"

namespace karma::test {

TempDir::TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "karma-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
        throw std::system_error(errno, std::generic_category(), "cannot create a directory " + name);
    }
    path_ = name;
}

TempDir::~TempDir() {
    if (is_set("KARMA_TEST_KEEP")) {
        std::cout << "kept " << path_.string() << std::endl;
        return;
    }
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

std::string read_file(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void write_file(const std::filesystem::path& file, std::string_view content) {
    std::ofstream out(file, std::ios::binary);
    out << content;
    out.close();
    if (!out) throw std::runtime_error("cannot write " + file.string());
}

}  // namespace karma::test
