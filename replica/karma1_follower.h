#pragma once

#include <cstdint>
#include <filesystem>

#include "engine/replicated.h"
#include "replica/master_client.h"

namespace karma::replica {

/// Follows a Karma 1.0: takes its snapshots and idempotency records, then polls its log. Used by one thread.
class Karma1Follower {
public:
    Karma1Follower(Replicated& database, MasterAddress master, std::uint32_t batch_size,
                   std::filesystem::path directory);

    /// Whether this node has nothing of the master's yet.
    bool needs_bootstrap() const;
    /// Puts the state of the master's latest snapshots, and of the events after them, in the place of this
    /// node's. Throws ConnectionError, ChannelError, CorruptionError and StorageError.
    void bootstrap();

    struct Polled {
        std::uint64_t applied = 0;
        Lsn source_lsn = 0;
    };
    /// Takes the next events. Throws as `bootstrap`.
    Polled poll();

private:
    Replicated& database_;
    MasterClient master_;
    std::uint32_t batch_size_;
    std::filesystem::path directory_;
};

}  // namespace karma::replica
