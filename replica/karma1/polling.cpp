#include "replica/karma1/polling.h"

#include <algorithm>
#include <utility>

#include "net/client_connection.h"

namespace karma::replica {
namespace {

/// A Karma 1.0 that is followed is a master: it says nothing of itself.
Life karma1_life() {
    Life life;
    life.role = "master";
    life.chain = {{0, "Karma 1.0"}};
    life.master_heard = std::chrono::milliseconds(0);
    return life;
}

std::chrono::milliseconds poll_timeout(const FollowerOptions& options) {
    return options.fails_over() ? std::min(options.timeout, options.failover_timeout) : options.timeout;
}

}  // namespace

Karma1Polling::Karma1Polling(const FollowerContext& context)
    : context_(context),
      follower_(context.database,
                MasterClient(context.environment.network,
                             context.source_within(poll_timeout(context.options)), context.options.token),
                context.options.batch_size, context.options.directory) {}

/// With failover, a silence has to be noticed, and one lost poll is none.
std::chrono::milliseconds Karma1Polling::interval() const {
    const FollowerOptions& options = context_.options;
    return options.fails_over() ? std::min(options.poll_interval, options.failover_timeout / 4)
                                : options.poll_interval;
}

void Karma1Polling::begin() {
    FollowerStatus& status = context_.status;
    if (follower_.needs_bootstrap()) {
        status.set_state("bootstrapping");
        status.forget_sync();
        status.note_state_wanted();
        try {
            follower_.bootstrap();
        } catch (const std::exception& failure) {
            note_unfollowable(failure);
            status.note_state_failed(failure.what());
            throw;
        }
        status.note_installed();
    }
    context_.log.info("polling",
                      {{"master", context_.source()}, {"after_lsn", context_.database.durable_lsn()}});
    status.set_state("polling");
    context_.database.hold_log(false);
}

bool Karma1Polling::poll() {
    Karma1Follower::Polled polled;
    try {
        polled = follower_.poll();
    } catch (const std::exception& failure) {
        note_unfollowable(failure);
        throw;
    }
    if (polled.refused != 0) {
        context_.log.warning(
            "entries_without_effect",
            {{"master", context_.source()}, {"count", polled.refused}, {"first", polled.first_refused}});
    }
    context_.status.note_polled(karma1_life(), polled.source_lsn, polled.applied);
    return polled.applied >= context_.options.batch_size;
}

/// When the source is there, and this node cannot follow it, a person has to look at it. No reason to take
/// its place.
void Karma1Polling::note_unfollowable(const std::exception& failure) {
    if (dynamic_cast<const net::ConnectionError*>(&failure) == nullptr) {
        context_.status.note_unfollowable(failure.what());
    }
}

}  // namespace karma::replica
