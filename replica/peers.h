#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "engine/replicated.h"
#include "net/log.h"
#include "replica/life.h"

namespace karma::replica {

/// The nodes that this one has followed or was followed by: a promotion is announced to them. Kept with the
/// database, the latest 64. Thread-safe.
class Peers {
public:
    static constexpr std::size_t peers_max = 64;

    /// Reads what is kept. `database` and `log` outlive it.
    Peers(Replicated& database, net::Log& log);

    /// A node that listens nowhere that is known is passed over.
    void note(const KnownNode& node);
    std::vector<KnownNode> all() const;

private:
    Replicated& database_;
    net::Log& log_;
    mutable std::mutex mutex_;
    std::vector<KnownNode> peers_;  // the latest last
};

}  // namespace karma::replica
