#pragma once

#include <cstddef>

namespace karma::net {

/// Bytes of memory that this process may use: the memory of the machine, or the limit of its control group.
std::size_t machine_memory_bytes();

/// Raises the limit of open files as far as possible, and returns it.
std::size_t raise_open_files_limit();

/// The number of files that this process has open.
std::size_t open_files();

/// Connections from this machine that are accepted beyond the limit, for an administrator.
inline constexpr std::size_t administrator_connections = 4;

/// How many table files RocksDB may hold open when so many files may be open altogether: needed before it is
/// opened.
std::size_t storage_files(std::size_t limit);

/// How many followers there may be where so many are asked for: no more than have files of their own, so that
/// they take none from the storage; at least one.
std::size_t follower_places(std::size_t limit, std::size_t followers);

/// How many files are left for clients after storage, up to `followers` followers, files of snapshots and
/// exports, and administrators have theirs; at least a few. `open_now`: files that are open before the first
/// client connects.
std::size_t connection_files(std::size_t limit, std::size_t open_now, std::size_t followers);

}  // namespace karma::net
