#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/epoch.h"

namespace karma::net {

/// What a node says of itself that wants to follow: the fields of replication.subscribe.
struct Subscription {
    std::uint64_t format = 0;
    std::string name;
    Lsn after_lsn = 0;
    std::optional<std::uint64_t> checksum;
    Epochs epochs;
    std::uint64_t heartbeat_ms = 1000;
    bool wants_state = false;
};

/// Takes over connections on which replication.subscribe was asked. Thread-safe.
class SubscriptionHost {
public:
    SubscriptionHost() = default;
    SubscriptionHost(const SubscriptionHost&) = delete;
    SubscriptionHost& operator=(const SubscriptionHost&) = delete;
    virtual ~SubscriptionHost() = default;

    /// `file` is an open, non-blocking socket, from here on the host's, on which nothing is owed but the
    /// reply to this request; `address` is the other end's. Does not block.
    virtual void adopt(int file, const std::string& address, Subscription subscription) = 0;
};

}  // namespace karma::net
