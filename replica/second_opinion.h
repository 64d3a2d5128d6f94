#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <boost/json/value.hpp>

#include "engine/number.h"
#include "replica/life.h"
#include "replica/network.h"

namespace karma::replica {

struct NodeOptions;

/// A follower that has not heard its master, and asks others whether they have.
struct Witness {
    std::uint64_t node_id = 0;
    std::vector<NodeName> chain;  // of its source, up to the master
    Lsn lsn = 0;                  // that it has
    std::chrono::milliseconds failover_timeout{0};
};

/// What another node's answer is worth to it.
struct Opinion {
    enum class Verdict : std::uint8_t {
        agrees,   // it has not heard the master either
        objects,  // there is a master, or a follower that is to be promoted before
        none,     // it does not know, or knows what it knows from the same nodes
    };
    Verdict verdict = Verdict::none;
    std::string why;
};

/// Why a follower that is started with these options could never promote itself, as its source answers now:
/// the master acknowledges without it, and has no other follower. Empty where it could, or nobody answers.
std::string failover_refusal(const NodeOptions& options, Network& network = machine_network());

/// `status` is what the other one answers to replication.status. Throws ChannelError when it is none.
Opinion opinion_of(const boost::json::value& status, const Witness& asking);

}  // namespace karma::replica
