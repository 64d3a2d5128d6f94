#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/replicated.h"
#include "net/log.h"
#include "replica/counted_followers.h"
#include "replica/follower_options.h"
#include "replica/follower_status.h"
#include "replica/known_node.h"
#include "replica/network.h"

namespace karma::replica {

/// The reason for which a node becomes master.
enum class Ballot : std::uint8_t { forced, ordered, failover, unsafe };

/// A follower that wants to be master. All outlive it.
struct Candidate {
    Replicated& database;
    net::Log& log;
    const Environment& environment;
    const FollowerOptions& options;
    const std::string& peer_token;  // for the nodes that are asked
    CountedFollowers& counted;
    const FollowerStatus& status;
    const std::atomic<bool>& stopping;  // ends waiting for answers
};

/// Asks other nodes for the promises that a follower needs before it begins an epoch: R7 of
/// docs/replication-protocol.md says whose. Used by one thread.
class Election {
public:
    /// Finds the nodes that have to be asked; nobody for Ballot::forced. Throws RequestError if nobody is
    /// known whose promise would be enough.
    Election(const Candidate& candidate, Ballot ballot);

    bool has_voters() const noexcept { return !voters_.empty(); }
    /// Asks for promises of this epoch; without one only whether they would be given. Returns the names of
    /// the nodes that did not answer. Throws RequestError if this node must not begin an epoch.
    std::vector<std::string> ask(const std::optional<Epoch>& epoch) const;

private:
    void add_counted(const CountedList& list);
    void find_other_voters(const CountedList& list, bool is_listed);

    Candidate candidate_;
    Ballot ballot_;
    std::vector<KnownNode> voters_;
    bool are_all_needed_ = false;
    bool is_one_needed_ = false;
};

}  // namespace karma::replica
