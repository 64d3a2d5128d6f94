#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/epoch.h"
#include "engine/identity.h"
#include "engine/number.h"
#include "replica/known_node.h"
#include "replica/network.h"

namespace karma::replica {

struct NodeOptions;

/// The question of a node that wants to be master to the others: docs/replication-protocol.md, R7.
struct PromiseQuestion {
    std::optional<Epoch> epoch;  // that it wants to begin; nothing: it only asks what would be answered
    DatabaseId database_id;
    NodeId node_id = 0;
    std::chrono::milliseconds silence{0};  // after which it takes the master for lost
    bool is_ordered = false;               // by an operator
    // Where it stands itself:
    Epoch last_epoch;
    Lsn lsn = 0;
};

struct PromiseReply {
    enum class Kind : std::uint8_t {
        given,
        refused,   // it has heard the master, or knows a later epoch, ...
        ahead,     // it has events that who asks has not
        no_reply,  // it is not there, or knows nothing of promises
    };
    KnownNode node;
    Kind kind = Kind::no_reply;
    std::string why;    // where it is not given
    Epoch known_epoch;  // of who answered
};

/// Asks all nodes at the same time. Waits for their answers for `time`, or until `stop`.
std::vector<PromiseReply> ask_for_promises(const Environment& environment, const std::string& token,
                                           const std::vector<KnownNode>& nodes,
                                           const PromiseQuestion& question, std::chrono::milliseconds time,
                                           const std::atomic<bool>& stop);

/// Why a follower with these options could never promote itself, according to its source: the master
/// acknowledges without it, and has no other follower. Empty if it could, or if the source does not answer.
std::string failover_refusal(const NodeOptions& options, Network& network = machine_network());

}  // namespace karma::replica
