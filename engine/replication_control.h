#pragma once

#include <string>

#include "engine/epoch.h"
#include "engine/replication_figures.h"
#include "engine/reply.h"
#include "engine/request.h"
#include "engine/scan.h"

namespace karma {

/// What a database asks of who replicates it. Thread-safe.
class ReplicationControl {
public:
    ReplicationControl() = default;
    ReplicationControl(const ReplicationControl&) = delete;
    ReplicationControl& operator=(const ReplicationControl&) = delete;
    virtual ~ReplicationControl() = default;

    virtual ReplicationFigures figures() const = 0;

    /// What a person has to look at: empty while all is well.
    virtual std::string alarm() const = 0;

    /// Stops following, when all that has arrived is applied, and makes this node a master, with the promises
    /// of the other followers that answer; `is_forced`: without asking anybody, a fenced node as well. Waits
    /// for others some seconds at most. Throws RequestError.
    virtual reply::Promoted promote(bool is_forced) = 0;

    /// Answers a node that wants to begin an epoch. What is promised is durable when it returns.
    virtual reply::PromiseAnswer promise(const control::Promise& asked) = 0;

    /// From here on nothing waits for this follower's acknowledgements, and no promotion for its promise.
    /// Throws RequestError.
    virtual reply::FollowerForgotten forget_follower(NodeId node, const std::string& name) = 0;

    /// The database has been told of a later epoch.
    virtual void on_fenced() = 0;

    /// Another node has named an epoch of this database, of which note was taken: where the node that began
    /// it can be asked is kept. Does not throw for what cannot be stored.
    virtual void note_announcement(const control::Fence& named) = 0;

    /// Compares this node's state with that of its master, or of its followers, at one LSN. Throws
    /// RequestError: `replication_error` where they differ, or nobody is there.
    virtual reply::DigestsCompared compare_digests(const Deadline& deadline) = 0;
};

}  // namespace karma
