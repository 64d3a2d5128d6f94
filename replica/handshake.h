#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "engine/replicated.h"
#include "net/subscription.h"

/// What two nodes tell each other before the one follows the other, and what follows from it.
namespace karma::replica {

/// The version of the frames, of the pieces of a state and of checksums: nodes of different ones do not
/// follow each other.
inline constexpr std::uint64_t stream_format = 2;

/// Epochs that a follower tells of, the latest ones: a request line has its limit.
inline constexpr std::size_t epochs_told_max = 24;

enum class Verdict : std::uint8_t {
    stream,    // the follower's history is a part of this one: it gets the events after it
    state,     // it cannot be told, or what it needs is not kept: it gets the whole state
    stale,     // the follower knows a later epoch: this node is no master for it
    diverged,  // it has events that this history has not
};

struct Decision {
    Verdict verdict = Verdict::state;
    /// Where they diverged: the last event that they share, as far as it is known.
    std::optional<Lsn> common_lsn;
};

/// A history as it is here.
struct OwnHistory {
    Lsn last_lsn = 0;
    Lsn first_kept_lsn = 1;
    Epochs epochs;
    std::function<HistoryMark(Lsn)> mark_at;
};

/// What to do for a follower that says this of itself.
Decision decide(const net::Subscription& follower, const OwnHistory& own);

/// The request line of replication.subscribe, without its end.
std::string subscribe_line(const net::Subscription& subscription, const std::string& token);

/// What is answered to it. What an earlier version does not tell is not known: empty or 0.
struct SubscribeReply {
    bool accepted = false;
    bool state_follows = false;  // or events
    bool is_proved = false;      // that what the follower has is a part of this history; else it is by order
    Lsn lsn = 0;                 // the last event of who answers
    Epoch known_epoch;           // the latest one that it knows: number and id
    DatabaseId database_id;
    NodeId node_id = 0;
    std::vector<NodeId> chain;  // from it, itself first, up to the master, as far as it knows
    std::string role;           // of who answers: "master", "follower", "fenced"; empty: not known
    std::uint64_t generation = 0;  // of the stream, as who answers counts them
    IdempotencyRetention retention;  // that the follower uses instead of its own

    // Where it is refused:
    std::string error_code;
    std::string reason;   // one word for programs: see `name_of` of verdicts, and session.cpp
    std::string message;  // why, for people
    std::optional<Lsn> common_lsn;  // where they diverged
};

std::string reply_line(const SubscribeReply& reply);
/// Throws ChannelError when it is no such reply.
SubscribeReply read_reply(std::string_view line);

}  // namespace karma::replica
