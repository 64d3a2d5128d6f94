#include "net/machine.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <sys/resource.h>
#include <system_error>
#include <unistd.h>

namespace karma::net {
namespace {

/// Its connection, and what wakes the thread that serves it.
constexpr std::size_t of_follower = 2;

/// What a control group allows; as much as there is where it does not say.
std::size_t group_memory_bytes() {
    for (const char* const path :
         {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
        std::ifstream file(path);
        std::size_t bytes = 0;
        if (file >> bytes && bytes != 0) {
            return bytes;
        }
    }
    return std::numeric_limits<std::size_t>::max();
}

}  // namespace

std::size_t machine_memory_bytes() {
    const long pages = ::sysconf(_SC_PHYS_PAGES);
    const long page_bytes = ::sysconf(_SC_PAGESIZE);
    constexpr std::size_t otherwise = std::size_t{1} << 30U;
    const std::size_t all = pages > 0 && page_bytes > 0
                                ? static_cast<std::size_t>(pages) * static_cast<std::size_t>(page_bytes)
                                : otherwise;
    return std::min(all, group_memory_bytes());
}

std::size_t raise_open_files_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 1024;
    }
    if (limit.rlim_cur < limit.rlim_max) {
        rlimit raised = limit;
        raised.rlim_cur = raised.rlim_max;
        if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) {
            limit = raised;
        }
    }
    return static_cast<std::size_t>(limit.rlim_cur);
}

std::size_t open_files() {
    std::error_code failure;
    const std::filesystem::directory_iterator begin("/proc/self/fd", failure);
    return failure ? 32 : static_cast<std::size_t>(std::distance(begin, {})) - 1;  // without that of the list
}

std::size_t storage_files(std::size_t limit) {
    constexpr std::size_t least = 20;  // RocksDB takes no less
    constexpr std::size_t most = 256;
    return std::clamp(limit / 8, least, most);
}

std::size_t follower_places(std::size_t limit, std::size_t followers) {
    return std::clamp<std::size_t>(limit / 8 / of_follower, 1, std::max<std::size_t>(followers, 1));
}

std::size_t connection_files(std::size_t limit, std::size_t open_now, std::size_t followers) {
    constexpr std::size_t beside_tables = 36;  // logs, what is written, tables of compactions and views
    constexpr std::size_t few = 4;
    const std::size_t for_followers = follower_places(limit, followers) * of_follower;
    const std::size_t for_snapshots = std::clamp<std::size_t>(limit / 32, few, 16);
    const std::size_t kept = open_now + storage_files(limit) - 10 + beside_tables + for_followers +
                             for_snapshots + administrator_connections + few;
    return limit > kept + few ? limit - kept : few;
}

}  // namespace karma::net
