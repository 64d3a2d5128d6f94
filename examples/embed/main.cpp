// Counts without a server: a program that embeds the database. Run it twice with the same directory and it
// goes on counting.
//
//     karma_embed [DIRECTORY]
//
// Without a directory it uses one of its own and removes it.

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>

#include "persist/database.h"

namespace {

std::filesystem::path directory_of_its_own() {
    std::string name = (std::filesystem::temp_directory_path() / "karma-embed-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
        throw std::runtime_error("cannot make a directory like " + name);
    }
    return name;
}

int count(const std::filesystem::path& directory) {
    karma::DatabaseOptions options;
    options.directory = directory;
    std::uint64_t before = 0;
    {
        const auto database = karma::Database::open(options);
        database->increment("links", 42);  // today, durable when it returns
        database->increment("links", 42, 5, karma::day_from_yyyymmdd(20260505).value());
        before = database->sum("links", 42);
        std::cout << "link 42 was clicked " << before << " times\n";
    }
    const auto database = karma::Database::open(options);
    const std::uint64_t after = database->sum("links", 42);
    std::cout << "opened again: " << after << " times (" << database->restore_summary() << ")\n";
    return after == before && after >= 6 ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        if (argc > 1) {
            return count(argv[1]);
        }
        const std::filesystem::path directory = directory_of_its_own();
        const int status = count(directory);
        std::filesystem::remove_all(directory);
        return status;
    } catch (const std::exception& failure) {
        std::cerr << failure.what() << "\n";
        return EXIT_FAILURE;
    }
}
