#include <algorithm>

#include "engine/error.h"
#include "replica/follower.h"
#include "replica/master_client.h"

/// What a follower does where nothing proves that its history is a part of its source's: the section "Proof
/// or order" of docs/replication-protocol.md.
namespace karma::replica {

/// Epochs of another database say nothing of this one's.
void Follower::note_epoch(const SubscribeReply& reply) {
    source_epoch_.reset();
    if (are_strangers(reply.database_id, database_.database_id())) {
        return;
    }
    source_epoch_ = reply.known_epoch;
    if (reply.known_epoch.number == 0) {
        return;
    }
    try {
        database_.fence(reply.known_epoch, reply.database_id);
    } catch (const RequestError& damaged) {
        log_.error("epoch_refused", {{"master", source()}, {"message", damaged.what()}});
        throw ChannelError(damaged.what());
    }
}

void Follower::check_offer(const net::Subscription& self, const SubscribeReply& reply) {
    if (reply.node_id != 0 && reply.node_id == self.node_id) {
        turn_down("refused", "this node is its own source");
    }
    if (self.is_empty || (reply.state_follows && !reply.is_proved && !self.order.empty())) {
        return;
    }
    if (are_strangers(reply.database_id, self.database_id)) {
        turn_down("stranger", why_unproved(reply) + order_advice());
    }
    if (!reply.is_proved) {
        turn_down("refused", "the master offers a state without a proof, which nobody has ordered");
    }
    if (reply.lsn < self.after_lsn) {
        turn_down("diverged", "replication_gap: the master is at LSN " + std::to_string(reply.lsn) +
                                  ", this node at " + std::to_string(self.after_lsn) + order_advice());
    }
}

void Follower::on_unproved(const SubscribeReply& reply) {
    if (reply.reason == "empty") {
        turn_down("refused", "the master refuses: " + reply.message);
    }
    turn_down(reply.reason == "stranger" ? "stranger" : "diverged", why_unproved(reply) + order_advice());
}

std::string Follower::why_unproved(const SubscribeReply& reply) const {
    const std::string has = "this node has events up to LSN " + std::to_string(database_.durable_lsn());
    if (reply.reason == "stranger" || are_strangers(reply.database_id, database_.database_id())) {
        return "replication_gap: this node holds database " + database_.database_id().text() +
               ", the master database " + reply.database_id.text() + ", and " + has;
    }
    if (reply.reason == "unknown") {
        return "replication_gap: nothing that is kept tells whether the master has this node's history, "
               "and " +
               has;
    }
    const std::optional<Lsn> common = find_common_lsn(reply);
    const std::string where = common ? "after LSN " + std::to_string(*common) : "at an LSN that is not known";
    return "replication_gap: this node's history and the master's part " + where + ", and " + has +
           " that the master has not";
}

std::string Follower::order_advice() const {
    const std::string& given = options_.discard_order;
    const bool is_used = !given.empty() && database_.is_order_used(given);
    return std::string(is_used
                           ? ". The order \"" + given + "\" was carried out before, and counts for one use"
                           : "") +
           ": to give up what this node has, which is moved aside, start it with "
           "--replication-discard-diverged=" +
           database_.unused_order();
}

/// Where the epochs do not say it, the checksums of events do: they are the same up to the place.
std::optional<Lsn> Follower::find_common_lsn(const SubscribeReply& reply) const {
    if (reply.common_lsn) {
        return reply.common_lsn;
    }
    try {
        MasterClient master(environment_.network, master_within(options_.timeout), options_.token);
        Lsn low = 0;  // shared, if anything is
        Lsn high = std::min(reply.lsn, database_.durable_lsn()) + 1;
        while (low + 1 < high) {
            const Lsn middle = low + (high - low) / 2;
            const HistoryMark here = database_.mark_at(middle);
            const std::optional<std::uint64_t> there = master.checksum_at(middle);
            // What is not kept any more is too old to be where they part.
            const bool is_shared = !here.checksum || !there || *here.checksum == *there;
            (is_shared ? low : high) = middle;
        }
        return low;
    } catch (const std::exception&) {
        if (stopping_) {
            throw Stopped{};  // not known, because nobody waited for it
        }
        return std::nullopt;
    }
}

/// Before anything is given up. Retention removes nothing meanwhile: see Replicated::hold_log.
Discarded Follower::keep_discarded(const SubscribeReply& reply) const {
    const bool is_other = are_strangers(reply.database_id, database_.database_id());
    const Lsn common = is_other || reply.reason == "unknown" ? 0 : find_common_lsn(reply).value_or(0);
    Discarded discarded = write_discarded(database_, common, options_.directory);
    const Lsn last = database_.last_lsn();
    const Lsn first_kept = discarded.events == 0 ? last + 1 : discarded.first_lsn;
    if (first_kept > common + 1) {
        log_.warning("discarded_events_missing",
                     {{"first_lsn", common + 1},
                      {"last_lsn", first_kept - 1},
                      {"file", discarded.file.string()},
                      {"message",
                       "retention had removed these events before: the file does not have them; what "
                       "they counted is in the database that is moved aside"}});
    }
    return discarded;
}

void Follower::note_discarded(const Discarded& discarded, const std::filesystem::path& database) {
    std::string what = "by the order \"" + options_.discard_order + "\" " + std::to_string(discarded.events) +
                       " events were given up: " + discarded.file.string() + " has them";
    if (!database.empty()) {
        what += ", and " + database.string() + " is the database as it was";
    }
    log_.warning("discarded", {{"master", source()},
                               {"order", options_.discard_order},
                               {"events", discarded.events},
                               {"file", discarded.file.string()},
                               {"database", database.string()}});
    const std::lock_guard lock(mutex_);
    figures_.discarded = std::move(what);
}

}  // namespace karma::replica
