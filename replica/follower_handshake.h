#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "net/subscription.h"
#include "replica/follower_context.h"
#include "replica/handshake.h"
#include "replica/network.h"

namespace karma::replica {

/// A connection on which the source has accepted this node.
struct AcceptedConnection {
    SubscribeReply reply;
    std::unique_ptr<PeerStream> stream;
    std::string received;  // behind the reply
};

/// Asks the source to be followed: describes this node, and decides whether the source's reply is one that
/// this node may accept. docs/replication-protocol.md has the rules. Used once, by the follower's thread.
class FollowerHandshake {
public:
    /// `context` outlives it.
    explicit FollowerHandshake(const FollowerContext& context) : context_(context) {}

    /// Nothing if the source does not know the request, as a Karma 1.0. Throws SourceRefused,
    /// FollowingStopped, ConnectionError, ChannelError and StorageError.
    std::optional<AcceptedConnection> run();

private:
    net::Subscription describe_self() const;
    std::string ask(LineClient& line, std::chrono::milliseconds timeout) const;
    void take_epoch() const;
    [[noreturn]] void on_refused() const;
    [[noreturn]] void on_unproved() const;
    void check_offer() const;

    const FollowerContext& context_;
    net::Subscription self_;
    SubscribeReply reply_;
};

}  // namespace karma::replica
