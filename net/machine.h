#pragma once

#include <cstddef>

namespace karma::net {

/// Bytes of memory that this process may use: what the machine has, or less where its control group says so.
std::size_t machine_memory_bytes();

/// Raises the limit of open files as far as it goes, and returns it.
std::size_t raise_open_files_limit();

/// Files that this process has open.
std::size_t open_files();

/// Connections from this machine that are taken beyond the most that there may be, for an administrator.
inline constexpr std::size_t administrator_connections = 4;

/// What RocksDB may hold open of its tables where so many files may be open altogether: known before it is
/// opened.
std::size_t storage_files(std::size_t limit);

/// What is left for clients when storage, up to `followers` followers, files of snapshots and exports, and
/// administrators have theirs; at least a few. `open_now`: files that are open before anybody connects.
std::size_t connection_files(std::size_t limit, std::size_t open_now, std::size_t followers);

}  // namespace karma::net
