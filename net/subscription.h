#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/epoch.h"
#include "engine/history_mark.h"
#include "engine/request.h"
#include "net/byte_stream.h"

namespace karma::net {

/// How a node that wants to follow describes itself: the fields of replication.subscribe. A field that an
/// earlier version does not send is empty or 0: not known.
struct Subscription {
    std::uint64_t format = 0;
    std::string name;
    Lsn after_lsn = 0;                      // the last event that its engine holds
    std::optional<std::uint64_t> checksum;  // of that event
    Epochs epochs;                          // the latest ones, without their nodes
    std::uint64_t epochs_skipped = 0;       // earlier ones
    std::vector<HistoryMark> marks;         // earlier events whose checksums it knows, the latest first
    std::uint64_t heartbeat_ms = 1000;
    DatabaseId database_id;
    NodeId node_id = 0;
    Epoch known_epoch;
    bool is_empty = false;
    bool syncs = false;         // what it acknowledges is on its disk
    std::uint16_t port = 0;     // on which it can be asked; 0: not known
    bool fails_over = false;    // it may promote itself
    bool stores_lists = false;  // of counted followers, and confirms them
    std::string order;          // of its operator, to replace what it has; empty: none
};

/// The subscription of a decoded request.
inline Subscription subscription_of(const control::Subscribe& asked) {
    Subscription subscription;
    subscription.format = asked.format;
    subscription.name = asked.name;
    subscription.after_lsn = asked.after_lsn;
    subscription.checksum = asked.checksum;
    for (std::size_t i = 0; i + 2 < asked.epochs.size(); i += 3) {
        subscription.epochs.push_back({asked.epochs[i], asked.epochs[i + 1], asked.epochs[i + 2]});
    }
    subscription.epochs_skipped = asked.epochs_skipped;
    for (std::size_t i = 0; i + 1 < asked.marks.size(); i += 2) {
        subscription.marks.push_back({asked.marks[i], static_cast<std::uint32_t>(asked.marks[i + 1])});
    }
    subscription.heartbeat_ms = asked.heartbeat_ms;
    subscription.database_id = asked.database_id;
    subscription.node_id = asked.node_id;
    subscription.known_epoch = {asked.known_epoch, asked.known_epoch_id, 0};
    subscription.is_empty = asked.is_empty;
    subscription.syncs = asked.syncs;
    subscription.port = asked.port;
    subscription.fails_over = asked.fails_over;
    subscription.stores_lists = asked.stores_lists;
    subscription.order = asked.order;
    return subscription;
}

/// Takes over connections on which a client has sent replication.subscribe. Thread-safe.
class SubscriptionHost {
public:
    SubscriptionHost() = default;
    SubscriptionHost(const SubscriptionHost&) = delete;
    SubscriptionHost& operator=(const SubscriptionHost&) = delete;
    virtual ~SubscriptionHost() = default;

    /// All requests on `stream` but this one have been answered; `address` is that of the other end. Does not
    /// block.
    virtual void adopt(ByteStream stream, const std::string& address, Subscription subscription) = 0;
};

}  // namespace karma::net
