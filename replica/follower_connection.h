#pragma once

#include <memory>
#include <optional>

#include "engine/replicated.h"
#include "replica/background.h"
#include "replica/channel.h"
#include "replica/digests.h"
#include "replica/follower.h"

namespace karma::replica {

/// The state of one connection to the master.
struct Follower::Connection {
    Channel& channel;
    std::unique_ptr<StateWriter> state;  // while it is being received
    bool is_dirty = false;               // events were applied and not committed
    Clock::time_point alive_at;          // when it was last said how much was received
    std::optional<Lsn> compare_at;       // the event after which the state is to be looked at
    Background<Digests> own;
    std::optional<Digests> own_digests;
    std::optional<Digests> master_digests;
    SubscribeReply accepted;  // how it began
};

}  // namespace karma::replica
