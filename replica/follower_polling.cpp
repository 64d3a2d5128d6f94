#include <algorithm>

#include "net/client_connection.h"
#include "replica/follower.h"
#include "replica/karma1_follower.h"

/// Following a master that only answers polls: Karma 1.0.
namespace karma::replica {

void Follower::poll() {
    auto timeout = options_.timeout;
    auto interval = options_.poll_interval;
    if (options_.failover_timeout.count() != 0) {
        // A silence has to be noticed, and one lost poll is none.
        timeout = std::min(timeout, options_.failover_timeout);
        interval = std::min(interval, options_.failover_timeout / 4);
    }
    if (karma1_ == nullptr) {
        karma1_ = std::make_unique<Karma1Follower>(
            database_, MasterClient(environment_.network, master_within(timeout), options_.token),
            options_.batch_size, options_.directory);
    }
    if (karma1_->needs_bootstrap()) {
        bootstrap();
    }
    log_.info("polling", {{"master", source()}, {"after_lsn", database_.durable_lsn()}});
    set_state("polling");
    database_.hold_log(false);
    while (!stopping_) {
        if (poll_once() < options_.batch_size) {
            wait(interval);
        }
    }
    throw Stopped{};
}

/// When the master is there, and this node cannot follow it, a person has to look at it. No reason to take
/// its place.
void Follower::note_unfollowable(const std::exception& failure) {
    if (dynamic_cast<const net::ConnectionError*>(&failure) == nullptr) {
        const std::lock_guard lock(mutex_);
        watch_.note_word(now());
        refusal_ = failure.what();
    }
}

void Follower::bootstrap() {
    set_state("bootstrapping");
    forget_sync();
    {
        const std::lock_guard lock(mutex_);
        figures_.bootstraps.attempt(database_.unix_now());
    }
    try {
        karma1_->bootstrap();
    } catch (const std::exception& failure) {
        note_unfollowable(failure);
        const std::lock_guard lock(mutex_);
        figures_.bootstraps.fail(database_.unix_now(), failure.what());
        throw;
    }
    const std::lock_guard lock(mutex_);
    figures_.bootstraps.succeed(database_.unix_now());
    figures_.replayed_lsn = database_.durable_lsn();
}

/// A Karma 1.0 that is followed is a master: it says nothing of itself.
void Follower::note_polled_master() {
    Life life;
    life.role = "master";
    life.chain = {{0, "Karma 1.0"}};
    life.master_heard = std::chrono::milliseconds(0);
    const std::lock_guard lock(mutex_);
    watch_.note_connected(now());
    watch_.note_life(std::move(life), now());
}

/// Gives the number of events that were taken.
std::uint64_t Follower::poll_once() {
    Karma1Follower::Polled polled;
    try {
        polled = karma1_->poll();
    } catch (const std::exception& failure) {
        note_unfollowable(failure);
        throw;
    }
    if (polled.refused != 0) {
        log_.warning("entries_without_effect",
                     {{"master", source()}, {"count", polled.refused}, {"first", polled.first_refused}});
    }
    note_polled_master();
    note_master_lsn(polled.source_lsn);
    const std::lock_guard lock(mutex_);
    refusal_.clear();
    figures_.polls.attempt(database_.unix_now());
    figures_.polls.succeed(database_.unix_now());
    figures_.entries_applied += polled.applied;
    figures_.replayed_lsn = database_.durable_lsn();
    if (polled.applied != 0) {
        figures_.last_received_unix = database_.unix_now();
    }
    note_if_in_sync();
    return polled.applied;
}

}  // namespace karma::replica
