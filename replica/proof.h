#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/replicated.h"
#include "net/subscription.h"

/// Whether one history is a part of another one: the section "Proof or order" of
/// docs/replication-protocol.md.
namespace karma::replica {

enum class Verdict : std::uint8_t {
    stream,  // the follower's history is a part of this one: it gets the events after it
    state,   // it has nothing, or a part of this history and needs events that are not kept, or it is ordered
    itself,  // it is this node, or one in the chain behind it
    stranger,  // it holds another database
    stale,     // it knows a later epoch: this node is no master for it
    diverged,  // it has events that this history has not
    unknown,   // it cannot be told: what is known of both histories does not meet
    empty,     // this node has nothing to be followed
};

/// The verdict as one word, for programs.
std::string_view name_of(Verdict verdict) noexcept;

struct Decision {
    Verdict verdict = Verdict::unknown;
    /// The last event that both histories share, if it is known.
    std::optional<Lsn> common_lsn;
    /// The follower gets the state by its operator's order, without proof.
    bool is_ordered = false;
    Verdict without_order = Verdict::unknown;  // where it is ordered
};

/// The history of this node.
struct OwnHistory {
    Lsn last_lsn = 0;
    Lsn first_kept_lsn = 1;
    Epochs epochs;
    std::function<HistoryMark(Lsn)> mark_at;
    DatabaseId database_id = {};
    std::vector<NodeId> chain = {};  // from this node up to its master, as far as it is known
    Epoch known_epoch = {};
    bool is_empty = false;
    bool is_half_way = false;  // empty, as a state could not be put in place
    bool is_master = true;
};

/// The decision about a follower with this subscription.
Decision decide(const net::Subscription& follower, const OwnHistory& own);

/// Why the follower is refused, for a person; for the verdicts that refuse.
std::string why_refused(const Decision& decision, const net::Subscription& follower, const OwnHistory& own);

/// The marks that a follower sends of its history below its last event: at the multiples of 1, 2, 4, ..., if
/// it knows them, the latest first.
std::vector<HistoryMark> marks_below(Lsn lsn, const std::function<HistoryMark(Lsn)>& mark_at);

}  // namespace karma::replica
