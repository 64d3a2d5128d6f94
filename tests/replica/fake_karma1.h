#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/fake_server.h"
#include "tests/support/json.h"

namespace karma::test {

// The bytes of a `.tree` file that holds these values.
std::string tree_bytes(const std::map<std::uint64_t, std::map<std::uint32_t, std::uint64_t>>& values);

// As much of a Karma 1.0 master as those need that follow it. What it has is set by the test; it executes
// nothing. Thread-safe.
class FakeKarma1 {
public:
    struct Tree {
        std::string file;
        std::string bytes;
        std::uint64_t last_lsn = 0;
        std::uint64_t timestamp = 0;
    };
    struct Records {
        std::string json;
        std::uint64_t last_lsn = 0;
        std::uint64_t timestamp = 0;
    };

    FakeKarma1();

    std::uint16_t port() const { return server_.port(); }

    // Adds an entry to the log and gives its LSN.
    std::uint64_t log(const std::string& fields);
    // Forgets the entries up to this one.
    void cut_log(std::uint64_t lsn);
    // The next entry takes this LSN.
    void skip_to(std::uint64_t lsn);
    void set_tree(const std::string& series, Tree tree);
    void set_records(Records records);
    // The names are listed, the files are gone.
    void lose_files();
    // It never comes to the end of a file, and sends more than the file is said to have.
    void send_without_end();
    // Longest answer to snapshot.fetch_chunk.
    void set_chunk_max(std::uint64_t bytes);
    std::size_t requests(const std::string& op) const;
    // Writes the files that a Karma 1.0 with this state has in its directory.
    void write_files(const std::filesystem::path& directory) const;

private:
    FakeAnswer answer(const std::string& line);
    std::string info() const;
    std::string entries(const json::value& request) const;
    std::string fetch(const json::value& request, const std::string* bytes) const;

    mutable std::mutex mutex_;
    std::map<std::string, Tree> trees_;
    std::optional<Records> records_;
    std::map<std::uint64_t, std::string> entries_;
    std::uint64_t last_lsn_ = 0;
    bool has_files_ = true;
    bool endless_ = false;
    std::uint64_t chunk_max_ = 1'048'576;
    std::map<std::string, std::size_t> requests_;
    FakeServer server_;  // ends first
};

}  // namespace karma::test
