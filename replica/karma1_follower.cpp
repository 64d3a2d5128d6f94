#include "replica/karma1_follower.h"

namespace karma::replica {

Karma1Follower::Karma1Follower(Replicated& database, MasterAddress master, std::uint32_t batch_size,
                               std::filesystem::path directory)
    : database_(database),
      master_(std::move(master)),
      batch_size_(batch_size),
      directory_(std::move(directory)) {}

bool Karma1Follower::needs_bootstrap() const { return database_.durable_lsn() == 0; }

void Karma1Follower::bootstrap() { throw ChannelError("not written yet"); }

Karma1Follower::Polled Karma1Follower::poll() { throw ChannelError("not written yet"); }

}  // namespace karma::replica
