#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/epoch.h"
#include "engine/request.h"

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

/// The same as it was decoded.
inline Subscription subscription_of(const control::Subscribe& asked) {
    Subscription subscription{asked.format, std::string(asked.name), asked.after_lsn,  asked.checksum,
                              {},           asked.heartbeat_ms,      asked.wants_state};
    for (std::size_t i = 0; i + 2 < asked.epochs.size(); i += 3) {
        subscription.epochs.push_back({asked.epochs[i], asked.epochs[i + 1], asked.epochs[i + 2]});
    }
    return subscription;
}

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
