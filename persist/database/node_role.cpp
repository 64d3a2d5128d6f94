#include "persist/database/node_role.h"

namespace karma {

void NodeRole::begin_generation() {
    const std::lock_guard lock(acks_mutex_);
    acked_lsn_.store(0, std::memory_order_release);
    generation_.fetch_add(1, std::memory_order_acq_rel);
}

bool NodeRole::acknowledge(Lsn lsn, std::uint64_t generation) {
    const std::lock_guard lock(acks_mutex_);
    if (generation != this->generation() || !is_master() || lsn <= acked_lsn()) {
        return false;
    }
    acked_lsn_.store(lsn, std::memory_order_release);
    return true;
}

}  // namespace karma
