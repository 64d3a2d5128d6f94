// Without libFuzzer: runs the inputs that lie in the files, and the folders, of the command line.
#include <cstdio>
#include <exception>
#include <filesystem>

#include "tests/fuzz/fuzz.h"
#include "tests/support/temp_dir.h"

namespace karma::test {
namespace {

void run_file(const std::filesystem::path& path) {
    std::printf("%s\n", path.c_str());
    run_input(read_file(path));
}

}  // namespace
}  // namespace karma::test

int main(int count, char** arguments) {
    try {
        for (int i = 1; i < count; ++i) {
            const std::filesystem::path path = arguments[i];
            if (!std::filesystem::is_directory(path)) {
                karma::test::run_file(path);
                continue;
            }
            for (const auto& entry : std::filesystem::directory_iterator(path)) {
                karma::test::run_file(entry.path());
            }
        }
    } catch (const std::exception& failure) {
        (void)std::fprintf(stderr, "an exception came out: %s\n", failure.what());
        return 1;
    }
    return 0;
}
