#pragma once

#include <atomic>
#include <chrono>
#include <string>
#include <vector>

namespace karma::net {

/// The numeric addresses of a host. Returns at `timeout` or `stop` at the latest, however long the resolver
/// takes: a thread of its own asks it, one for each host at a time. Throws ConnectionError.
std::vector<std::string> resolve(const std::string& host, std::chrono::milliseconds timeout,
                                 const std::atomic<bool>* stop = nullptr);

}  // namespace karma::net
