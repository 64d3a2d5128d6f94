#include "replica/unproved_history.h"

#include <algorithm>

#include "replica/master_client.h"

namespace karma::replica {

bool UnprovedHistory::is_of_stranger() const {
    return are_strangers(reply_.database_id, context_.database.database_id());
}

std::string UnprovedHistory::why_parted() const {
    const Replicated& database = context_.database;
    const std::string has = "this node has events up to LSN " + std::to_string(database.durable_lsn());
    if (reply_.reason == "stranger" || is_of_stranger()) {
        return "replication_gap: this node holds database " + database.database_id().text() +
               ", the master database " + reply_.database_id.text() + ", and " + has;
    }
    if (reply_.reason == "unknown") {
        return "replication_gap: nothing that is kept tells whether the master has this node's history, "
               "and " +
               has;
    }
    const std::optional<Lsn> common = common_lsn();
    const std::string where = common ? "after LSN " + std::to_string(*common) : "at an LSN that is not known";
    return "replication_gap: this node's history and the master's part " + where + ", and " + has +
           " that the master has not";
}

std::string UnprovedHistory::order_advice() const {
    const std::string& given = context_.options.discard_order;
    const bool is_used = !given.empty() && context_.database.is_order_used(given);
    return std::string(is_used
                           ? ". The order \"" + given + "\" was carried out before, and counts for one use"
                           : "") +
           ": to give up what this node has, which is moved aside, start it with "
           "--replication-discard-diverged=" +
           context_.database.unused_order();
}

/// Where the epochs do not say it, the checksums of events do: they are the same up to the place.
std::optional<Lsn> UnprovedHistory::common_lsn() const {
    if (reply_.common_lsn) {
        return reply_.common_lsn;
    }
    try {
        return search_common_lsn();
    } catch (const std::exception&) {
        if (context_.stopping) {
            throw FollowingStopped{};  // not known, because nobody waited for it
        }
        return std::nullopt;
    }
}

std::optional<Lsn> UnprovedHistory::search_common_lsn() const {
    MasterClient master(context_.environment.network, context_.source_within(context_.options.timeout),
                        context_.options.token);
    Lsn low = 0;  // shared, if anything is
    Lsn high = std::min(reply_.lsn, context_.database.durable_lsn()) + 1;
    while (low + 1 < high) {
        const Lsn middle = low + (high - low) / 2;
        const HistoryMark here = context_.database.mark_at(middle);
        const std::optional<std::uint64_t> there = master.checksum_at(middle);
        // What is not kept any more is too old to be where they part.
        const bool is_shared = !here.checksum || !there || *here.checksum == *there;
        (is_shared ? low : high) = middle;
    }
    return low;
}

/// Retention removes nothing meanwhile: see Replicated::hold_log.
Discarded UnprovedHistory::keep_discarded() const {
    const Lsn common = is_of_stranger() || reply_.reason == "unknown" ? 0 : common_lsn().value_or(0);
    Discarded discarded = write_discarded(context_.database, common, context_.options.directory);
    const Lsn last = context_.database.last_lsn();
    const Lsn first_kept = discarded.events == 0 ? last + 1 : discarded.first_lsn;
    if (first_kept > common + 1) {
        context_.log.warning("discarded_events_missing",
                             {{"first_lsn", common + 1},
                              {"last_lsn", first_kept - 1},
                              {"file", discarded.file.string()},
                              {"message",
                               "retention had removed these events before: the file does not have them; what "
                               "they counted is in the database that is moved aside"}});
    }
    return discarded;
}

void UnprovedHistory::note_discarded(const Discarded& discarded,
                                     const std::filesystem::path& database) const {
    const std::string& order = context_.options.discard_order;
    std::string what = "by the order \"" + order + "\" " + std::to_string(discarded.events) +
                       " events were given up: " + discarded.file.string() + " has them";
    if (!database.empty()) {
        what += ", and " + database.string() + " is the database as it was";
    }
    context_.log.warning("discarded", {{"master", context_.source()},
                                       {"order", order},
                                       {"events", discarded.events},
                                       {"file", discarded.file.string()},
                                       {"database", database.string()}});
    context_.status.note_discarded(std::move(what));
}

}  // namespace karma::replica
