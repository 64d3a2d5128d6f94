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

/// One word for programs.
std::string_view name_of(Verdict verdict) noexcept;

struct Decision {
    Verdict verdict = Verdict::unknown;
    /// Where they diverged: the last event that they share, as far as it is known.
    std::optional<Lsn> common_lsn;
    /// It gets the state because its operator ordered it: nothing proves that it may.
    bool is_ordered = false;
    Verdict without_order = Verdict::unknown;  // where it is ordered
};

/// A history as it is here.
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

/// What to do for a follower that says this of itself.
Decision decide(const net::Subscription& follower, const OwnHistory& own);

/// Why it is refused, for people; of the verdicts that refuse.
std::string why_refused(const Decision& decision, const net::Subscription& follower, const OwnHistory& own);

/// The marks that a follower tells of its history below its last event: at the multiples of 1, 2, 4, ... as
/// far as it knows them, the latest first.
std::vector<HistoryMark> marks_below(Lsn lsn, const std::function<HistoryMark(Lsn)>& mark_at);

}  // namespace karma::replica
