#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "engine/replicated.h"
#include "net/subscription.h"
#include "replica/proof.h"

/// What two nodes tell each other before the one follows the other, and what follows from it.
namespace karma::replica {

/// The version of the frames, of the pieces of a state and of checksums: nodes of different ones do not
/// follow each other.
inline constexpr std::uint64_t stream_format = 2;

/// The most epochs that a follower sends, the latest ones, because the length of a request line is limited.
inline constexpr std::size_t epochs_told_max = 24;

/// The request line of replication.subscribe, without its end.
std::string subscribe_line(const net::Subscription& subscription, const std::string& token);

/// The reply to it. A field that an earlier version does not send is empty or 0: not known.
struct SubscribeReply {
    bool accepted = false;
    bool state_follows = false;  // or events
    bool is_proved = false;      // that what the follower has is a part of this history; else it is by order
    // One word for programs, why it is refused or gets the state by order only: see `name_of` of verdicts,
    // and session.cpp.
    std::string reason;
    Lsn lsn = 0;        // the last event that the engine of who answers holds
    Epoch known_epoch;  // the latest one that it knows: number and id
    DatabaseId database_id;
    NodeId node_id = 0;
    std::vector<NodeId> chain;       // from it, itself first, up to the master, as far as it knows
    std::string role;                // of who answers: "master", "follower", "fenced"; empty: not known
    std::uint64_t generation = 0;    // of the stream, as who answers counts them
    IdempotencyRetention retention;  // that the follower uses instead of its own

    // Where it is refused:
    std::string error_code;
    std::string message;            // why, for people
    std::optional<Lsn> common_lsn;  // where they diverged, also where the state comes by order
};

std::string reply_line(const SubscribeReply& reply);
/// Throws ChannelError when it is no such reply.
SubscribeReply read_reply(std::string_view line);

}  // namespace karma::replica
