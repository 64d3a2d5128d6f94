#pragma once

#include <string>

#include "tests/support/fake_server.h"
#include "tests/support/temp_dir.h"

namespace karma::test {

// A file of rows to import.
class CsvFile {
public:
    explicit CsvFile(const std::string& content) { write_file(path(), content); }
    std::string path() const { return (directory_ / "rows.csv").string(); }

private:
    TempDir directory_;
};

// What a daemon answers that takes every batch.
inline FakeAnswer accept_any(std::size_t /*index*/, const std::string& line) { return accept_import(line); }

}  // namespace karma::test
