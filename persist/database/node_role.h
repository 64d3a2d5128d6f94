#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

#include "engine/number.h"
#include "engine/replicated.h"
#include "engine/replication_control.h"

namespace karma {

/// What a node is among others, and how far the others have acknowledged its events. Thread-safe.
class NodeRole {
public:
    Role get() const noexcept { return role_.load(std::memory_order_acquire); }
    bool is_master() const noexcept { return get() == Role::master; }
    bool is_fenced() const noexcept { return get() == Role::fenced; }
    bool is_follower() const noexcept { return get() == Role::slave; }
    /// With the lock of the state, so that no event is appended in a role that does not allow it.
    void set(Role role) noexcept { role_ = role; }

    /// See Replicated::generation.
    std::uint64_t generation() const noexcept { return generation_.load(std::memory_order_acquire); }
    /// With the lock of the state: nothing that was promised to clients before is kept after.
    void begin_generation();

    /// The last event that enough followers have, in this generation.
    Lsn acked_lsn() const noexcept { return acked_lsn_.load(std::memory_order_acquire); }
    /// False where that changes nothing: it is of another generation, of a node that is no master, or known.
    bool acknowledge(Lsn lsn, std::uint64_t generation);

    /// Whether retention may remove no event: it is not known whether the master has them.
    bool holds_log() const noexcept { return is_log_held_ || is_fenced(); }
    void hold_log(bool is_held) noexcept { is_log_held_ = is_held; }

    /// Who replicates, for requests about it and for statistics; null where nobody does.
    ReplicationControl* control() const noexcept { return control_; }
    void set_control(ReplicationControl* control) noexcept { control_ = control; }

private:
    std::atomic<Role> role_{Role::master};
    std::atomic<bool> is_log_held_{false};
    std::atomic<ReplicationControl*> control_{nullptr};
    std::mutex acks_mutex_;  // of who changes acked_lsn_ or generation_; taken after the lock of the state
    std::atomic<Lsn> acked_lsn_{0};
    std::atomic<std::uint64_t> generation_{0};
};

}  // namespace karma
