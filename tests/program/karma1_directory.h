#pragma once

#include <cstdint>
#include <string>

/// Contents of files of a Karma 1.0 directory.
namespace karma::test {

/// A `.tree` file: {"branches":[...],"branches_num":9} with one key, 18, of one bucket.
std::string tree_of_18(char value);

/// A line of the log with an entry of these fields.
std::string entry(std::uint64_t lsn, const std::string& fields);

/// The same of an increment of key 18, on 2026-05-05. `more` are further fields, with a comma in front.
std::string increment(std::uint64_t lsn, const std::string& series, std::uint64_t value,
                      const std::string& more = "");

}  // namespace karma::test
