#include "replica/election.h"

#include <chrono>
#include <cstddef>
#include <utility>

#include "engine/error.h"
#include "replica/peers.h"
#include "replica/promises.h"

namespace karma::replica {

namespace {

/// Of the nodes that the source has told of those that can be asked.
std::vector<KnownNode> reachable(std::vector<KnownNode> nodes, const FollowerOptions& follower) {
    std::erase_if(nodes, [](const KnownNode& node) { return node.host.empty() || node.port == 0; });
    return placed(std::move(nodes), follower.host);
}

}  // namespace

Election::Election(const Candidate& candidate, Ballot ballot) : candidate_(candidate), ballot_(ballot) {
    if (ballot == Ballot::forced) {
        return;
    }
    const Replicated& database = candidate_.database;
    const CountedList list = candidate_.counted.list();
    const bool is_listed = list.is_of(last_epoch(database.epochs())) && list.counts(database.node_id());
    if (is_listed) {
        add_counted(list);
    }
    find_other_voters(list, is_listed);
}

void Election::add_counted(const CountedList& list) {
    for (const CountedList::Member& member : list.members) {
        if (member.node.node.id != candidate_.database.node_id()) {
            voters_.push_back(member.node);
        }
    }
    voters_ = placed(std::move(voters_), candidate_.options.host);
    are_all_needed_ = ballot_ == Ballot::failover;
}

void Election::find_other_voters(const CountedList& list, bool is_listed) {
    const std::optional<Life> life = candidate_.status.watched().life();
    // A master that waits for nobody, whatever was counted when it still did.
    const bool acknowledges_alone = life && life->min_acks == std::uint64_t{0};
    if (is_listed && !acknowledges_alone) {
        return;
    }
    if (life) {
        for (KnownNode& other : reachable(life->others, candidate_.options)) {
            if (list.find(other.node.id) == nullptr || !is_listed) {
                voters_.push_back(std::move(other));
            }
        }
    }
    if (ballot_ != Ballot::failover) {
        // On no list, behind another follower: that one has what this node has, and may have more.
        if (!is_listed && life && life->role == "slave" && !life->chain.empty()) {
            voters_.push_back({life->chain.front(), candidate_.options.host, candidate_.options.port});
        }
        return;
    }
    if (!acknowledges_alone) {
        throw RequestError(ErrorCode::replication_error,
                           "its acknowledgements do not count for the master's --replication-min-acks");
    }
    if (voters_.empty()) {
        throw RequestError(ErrorCode::replication_error,
                           "no other follower is known that could promise anything");
    }
    is_one_needed_ = true;
}

std::vector<std::string> Election::ask(const std::optional<Epoch>& epoch) const {
    constexpr auto time = std::chrono::milliseconds(1000);
    Replicated& database = candidate_.database;
    PromiseQuestion question{epoch, database.database_id(), database.node_id(), {}, false, {}, 0};
    question.silence = candidate_.options.failover_timeout;
    question.is_ordered = ballot_ == Ballot::ordered;
    question.last_epoch = last_epoch(database.epochs());
    question.lsn = database.durable_lsn();
    std::vector<std::string> silent;
    std::size_t given = 0;
    std::string refused;
    for (const PromiseReply& reply : ask_for_promises(candidate_.environment, candidate_.peer_token, voters_,
                                                      question, time, candidate_.stopping)) {
        const std::string& name = reply.node.node.name;
        if (reply.known_epoch.number != 0) {
            // What this node wants to begin has to be later.
            database.fence(reply.known_epoch, question.database_id);
        }
        if (reply.kind == PromiseReply::Kind::given) {
            ++given;
        } else if (reply.kind == PromiseReply::Kind::no_reply) {
            candidate_.log.warning("no_promise", {{"node", name}, {"message", reply.why}});
            silent.push_back(name);
        } else if (refused.empty() || reply.kind == PromiseReply::Kind::ahead) {
            refused = name;
            refused += ": ";
            refused += reply.why;
        }
    }
    if (!refused.empty()) {
        throw RequestError(ErrorCode::replication_error, refused);
    }
    if (are_all_needed_ && !silent.empty()) {
        throw RequestError(ErrorCode::replication_error,
                           "counted follower " + silent.front() + " does not answer");
    }
    if (is_one_needed_ && given == 0) {
        throw RequestError(ErrorCode::replication_error, "no other follower answers");
    }
    return silent;
}

}  // namespace karma::replica
