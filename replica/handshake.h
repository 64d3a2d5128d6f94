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
inline constexpr std::uint64_t stream_format = 1;

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

/// What is answered to it.
struct SubscribeReply {
    bool accepted = false;
    bool state_follows = false;     // or events
    Lsn lsn = 0;                    // the last event of who answers
    std::uint64_t epoch = 0;        // its epoch
    std::string error_code;         // where it is refused
    std::string message;            // why
    std::optional<Lsn> common_lsn;  // where it is because of diverging
};

std::string reply_line(const SubscribeReply& reply);
/// Throws ChannelError when it is no such reply.
SubscribeReply read_reply(std::string_view line);

}  // namespace karma::replica
