#pragma once

#include <string>

#include "engine/epoch.h"
#include "engine/replication_statistics.h"
#include "engine/reply.h"
#include "engine/request.h"
#include "engine/scan.h"

namespace karma {

/// The interface of the node that replicates a database, for the database. Thread-safe.
class ReplicationControl {
public:
    ReplicationControl() = default;
    ReplicationControl(const ReplicationControl&) = delete;
    ReplicationControl& operator=(const ReplicationControl&) = delete;
    virtual ~ReplicationControl() = default;

    virtual ReplicationStatistics statistics() const = 0;

    /// The reason why a person is needed; empty while all is well.
    virtual std::string alarm() const = 0;

    /// Applies what has arrived, stops following, and makes this node a master, with the promises of the
    /// other followers that answer; with `is_forced` without asking any node, and a fenced node, too. Waits
    /// for other nodes some seconds at most. Throws RequestError.
    virtual reply::Promoted promote(bool is_forced) = 0;

    /// Answers a node that wants to begin an epoch. A promise is durable when it returns.
    virtual reply::PromiseAnswer promise(const control::Promise& asked) = 0;

    /// From now on no reply waits for this follower's acknowledgements, and no promotion for its promise.
    /// Throws RequestError.
    virtual reply::FollowerForgotten forget_follower(NodeId node, const std::string& name) = 0;

    /// Called after the database was told of a later epoch.
    virtual void on_fenced() = 0;

    /// Another node has announced an epoch of this database, which was stored: keeps the address of the node
    /// that began it. Does not throw if it cannot be stored.
    virtual void note_announcement(const control::Fence& named) = 0;

    /// Compares this node's state with that of its master, or of its followers, at one LSN. Throws
    /// RequestError: `replication_error` if they differ, or no such node is connected.
    virtual reply::DigestsCompared compare_digests(const Deadline& deadline) = 0;
};

}  // namespace karma
