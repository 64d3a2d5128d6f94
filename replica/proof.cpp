#include "replica/proof.h"

#include <algorithm>

namespace karma::replica {
namespace {

/// Whether the epochs that a follower told are the first of this history, counted up to its last event.
struct EpochsCompared {
    bool are_shared = true;
    std::optional<Lsn> common_lsn;  // where they are not, as far as it is known
};

EpochsCompared compare_epochs(const net::Subscription& follower, const Epochs& own) {
    const Epochs& told = follower.epochs;
    const auto skipped =
        static_cast<std::size_t>(std::min<std::uint64_t>(follower.epochs_skipped, own.size()));
    // The id of an epoch is random: two that share one share everything before it.
    const bool begins_elsewhere = follower.epochs_skipped != 0 &&
                                  (told.empty() || skipped == own.size() || told.front() != own[skipped]);
    if (begins_elsewhere) {
        return {false, std::nullopt};
    }
    std::size_t shared = 0;
    while (shared < told.size() && skipped + shared < own.size() && told[shared] == own[skipped + shared]) {
        ++shared;
    }
    // A follower may say of itself what cannot be.
    const auto before = [&](const Epoch& epoch) {
        return std::min(epoch.first_lsn - std::min<Lsn>(epoch.first_lsn, 1), follower.after_lsn);
    };
    EpochsCompared compared;
    const auto part_at = [&](Lsn lsn) {
        compared.are_shared = false;
        compared.common_lsn = std::min(compared.common_lsn.value_or(lsn), lsn);
    };
    if (shared < told.size()) {
        part_at(before(told[shared]));
    }
    if (skipped + shared < own.size() && own[skipped + shared].first_lsn <= follower.after_lsn) {
        part_at(before(own[skipped + shared]));
    }
    return compared;
}

enum class Shared : std::uint8_t { yes, no, unknown };

/// Whether the follower's last event is one of this history's. The epochs up to it are the same.
Shared is_last_shared(const net::Subscription& follower, const OwnHistory& own) {
    const HistoryMark here = own.mark_at(follower.after_lsn);
    if (here.checksum && follower.checksum) {
        return *here.checksum == *follower.checksum ? Shared::yes : Shared::no;
    }
    // The event that began an epoch has a random id: it is shared where the epoch is. Versions that named no
    // node let two nodes append in one epoch, so that it says nothing of what comes after it.
    const auto last = std::ranges::find_if(own.epochs.rbegin(), own.epochs.rend(), [&](const Epoch& epoch) {
        return epoch.first_lsn <= follower.after_lsn;
    });
    const Lsn begin = last == own.epochs.rend() ? 0 : last->first_lsn;
    for (const HistoryMark& told : follower.marks) {
        if (told.lsn >= follower.after_lsn || !told.checksum) {
            continue;
        }
        if (told.lsn < begin) {
            break;
        }
        if (const HistoryMark known = own.mark_at(told.lsn); known.checksum && told.lsn != 0) {
            return *known.checksum == *told.checksum ? Shared::yes : Shared::no;
        }
    }
    return last != own.epochs.rend() && last->node != 0 ? Shared::yes : Shared::unknown;
}

Decision compare(const net::Subscription& follower, const OwnHistory& own) {
    if (const EpochsCompared epochs = compare_epochs(follower, own.epochs); !epochs.are_shared) {
        return {Verdict::diverged, epochs.common_lsn};
    }
    if (follower.after_lsn > own.last_lsn) {
        return {Verdict::diverged, std::nullopt};  // this node has lost events, or is another one's
    }
    switch (is_last_shared(follower, own)) {
        case Shared::no: return {Verdict::diverged, std::nullopt};
        case Shared::unknown: return {Verdict::unknown, std::nullopt};
        case Shared::yes: break;
    }
    return {follower.after_lsn + 1 < own.first_kept_lsn ? Verdict::state : Verdict::stream, std::nullopt};
}

}  // namespace

std::string_view name_of(Verdict verdict) noexcept {
    switch (verdict) {
        case Verdict::stream: return "stream";
        case Verdict::state: return "state";
        case Verdict::itself: return "itself";
        case Verdict::stranger: return "stranger";
        case Verdict::stale: return "fenced";
        case Verdict::diverged: return "diverged";
        case Verdict::unknown: return "unknown";
        case Verdict::empty: return "empty";
    }
    return "";
}

Decision decide(const net::Subscription& follower, const OwnHistory& own) {
    if (follower.node_id != 0 && std::ranges::find(own.chain, follower.node_id) != own.chain.end()) {
        return {Verdict::itself, std::nullopt};
    }
    const bool is_stranger = are_strangers(follower.database_id, own.database_id);
    // Epochs of another database say nothing of this one's.
    if (!is_stranger && (follower.known_epoch.is_later_than(own.known_epoch) ||
                         last_epoch(follower.epochs).is_later_than(last_epoch(own.epochs)))) {
        return {Verdict::stale, std::nullopt};
    }
    const bool has_nothing = follower.is_empty || follower.after_lsn == 0;
    // Who was left half-way by another state knows no checksum, and cannot begin with events.
    const bool is_half_way = follower.is_empty && !follower.checksum;
    if (own.is_empty && !own.is_master) {
        // Behind an empty master the first event of all comes through this node. Nothing is lost by waiting
        // for it but by those who have something.
        const bool may_wait = has_nothing && !is_half_way && follower.after_lsn == 0 &&
                              own.database_id.is_known() && !own.is_half_way;
        return {may_wait ? Verdict::stream : Verdict::empty, std::nullopt};
    }
    if (own.is_empty && !has_nothing && follower.order.empty()) {
        return {Verdict::empty, std::nullopt};
    }
    if (has_nothing) {
        return {own.last_lsn == 0 && !is_half_way ? Verdict::stream : Verdict::state, std::nullopt};
    }
    const Decision proved = is_stranger ? Decision{Verdict::stranger, std::nullopt} : compare(follower, own);
    const bool may_follow = proved.verdict == Verdict::stream || proved.verdict == Verdict::state;
    if (!may_follow && !follower.order.empty()) {
        return {Verdict::state, proved.common_lsn, true, proved.verdict};
    }
    return proved;
}

std::string why_refused(const Decision& decision, const net::Subscription& follower, const OwnHistory& own) {
    switch (decision.verdict) {
        case Verdict::itself:
            return "The follower is this node itself, or one that this node follows: its source has to be "
                   "another "
                   "one";
        case Verdict::stranger:
            return "The follower holds database " + follower.database_id.text() + ", this node " +
                   own.database_id.text();
        case Verdict::stale: {
            const Epoch& later = follower.known_epoch.is_later_than(last_epoch(follower.epochs))
                                     ? follower.known_epoch
                                     : last_epoch(follower.epochs);
            return "This node is in epoch " + std::to_string(last_epoch(own.epochs).number) +
                   ", the follower knows epoch " + std::to_string(later.number) +
                   ": it is no master for it and takes no more writes";
        }
        case Verdict::diverged: {
            std::string message = "The histories differ: the follower has events up to LSN " +
                                  std::to_string(follower.after_lsn) + " that this node has not";
            if (decision.common_lsn) {
                message += ", from LSN " + std::to_string(*decision.common_lsn + 1) + " on";
            }
            return message;
        }
        case Verdict::unknown:
            return "It cannot be told whether the follower's history up to LSN " +
                   std::to_string(follower.after_lsn) +
                   " is a part of this node's: this node knows no event "
                   "of it any more";
        case Verdict::empty: return "This node has nothing that could be followed yet";
        case Verdict::stream:
        case Verdict::state: break;
    }
    return {};
}

std::vector<HistoryMark> marks_below(Lsn lsn, const std::function<HistoryMark(Lsn)>& mark_at) {
    std::vector<HistoryMark> marks;
    Lsn before = lsn;
    for (unsigned bit = 0; bit < 64 && before != 0; ++bit) {
        const Lsn at = (lsn - 1) >> bit << bit;
        if (at == 0) {
            break;
        }
        if (at == before) {
            continue;
        }
        before = at;
        if (const HistoryMark mark = mark_at(at); mark.checksum) {
            marks.push_back(mark);
        }
    }
    return marks;
}

}  // namespace karma::replica
