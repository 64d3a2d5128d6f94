#pragma once

#include <atomic>
#include <chrono>
#include <string>
#include <vector>

namespace karma::net {

/// The addresses of a host, as numbers. Waits for the resolver no longer than until `timeout` or `stop`,
/// however long that may take: it is asked from a thread of its own, one at a time for each host. Throws
/// ConnectionError.
std::vector<std::string> resolve(const std::string& host, std::chrono::milliseconds timeout,
                                 const std::atomic<bool>* stop = nullptr);

}  // namespace karma::net
