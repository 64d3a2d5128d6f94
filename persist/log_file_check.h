#pragma once

#include <string>
#include <string_view>

namespace karma {

/// What is wrong with a file in RocksDB's log format, a write-ahead log or a manifest, that RocksDB itself
/// takes for a record which a crash has cut short: it passes over it and over all that follows. Empty where
/// the file ends as a crash or a clean end leaves it; damage that RocksDB reports is not looked for.
std::string hidden_damage(std::string_view log_file);

/// Where the first record of such a file is whose checksum does not match, with sound records behind it: what
/// RocksDB reports without the place. Empty where there is none.
std::string damaged_record(std::string_view log_file);

/// The same file for RocksDB to read past its damage: of a type of records that this database never writes,
/// and that RocksDB's reader would look at again and again where damage brings it about, none is left.
std::string readable_past_damage(std::string log_file);

}  // namespace karma
