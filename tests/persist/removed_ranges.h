#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <rocksdb/db.h>

namespace karma::test {

/// What removed records and ranges have left in the tables of a database.
struct Removed {
    std::uint64_t ranges = 0;
    std::uint64_t records = 0;
};

/// Counts them in a database that nobody has open. Opening it puts what is in its write-ahead log into
/// tables.
inline Removed count_removed(const std::filesystem::path& path) {
    const auto check = [](const rocksdb::Status& status) {
        if (!status.ok()) {
            throw std::runtime_error(status.ToString());
        }
    };
    std::vector<std::string> names;
    check(rocksdb::DB::ListColumnFamilies({}, path.string(), &names));
    std::vector<rocksdb::ColumnFamilyDescriptor> families;
    for (const std::string& name : names) {
        families.emplace_back(name, rocksdb::ColumnFamilyOptions());
    }
    rocksdb::DB* opened = nullptr;
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    check(rocksdb::DB::Open({}, path.string(), families, &handles, &opened));
    const std::unique_ptr<rocksdb::DB> db(opened);
    Removed removed;
    for (rocksdb::ColumnFamilyHandle* const handle : handles) {
        rocksdb::TablePropertiesCollection tables;
        check(db->GetPropertiesOfAllTables(handle, &tables));
        for (const auto& table : tables) {
            removed.ranges += table.second->num_range_deletions;
            removed.records += table.second->num_deletions;
        }
        check(db->DestroyColumnFamilyHandle(handle));
    }
    return removed;
}

inline std::uint64_t removed_ranges(const std::filesystem::path& path) { return count_removed(path).ranges; }

}  // namespace karma::test
