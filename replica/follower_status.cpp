#include <algorithm>
#include <utility>

#include "engine/error.h"
#include "replica/background.h"
#include "replica/follower.h"
#include "replica/follower_connection.h"

/// What a follower compares with its source, and shows.
namespace karma::replica {

// ---- digests

void Follower::begin_comparison(Connection& connection, StateView view) {
    connection.compare_at.reset();
    connection.own.start(
        environment_.runtime, connection.channel,
        [view = std::move(view)](const Deadline& deadline) { return digests_of(view, deadline); });
}

void Follower::compare_when_ready(Connection& connection) {
    if (connection.own.is_done()) {
        connection.own_digests = connection.own.take();
    }
    if (!connection.own_digests || !connection.master_digests) {
        return;
    }
    const Digests own = std::move(*std::exchange(connection.own_digests, std::nullopt));
    const Digests master = std::move(*std::exchange(connection.master_digests, std::nullopt));
    if (own.lsn != master.lsn) {
        throw ChannelError("the master compares another state than it has announced");
    }
    const std::string what = difference(own, master);
    connection.channel.queue_numbers(FrameKind::digest_result, {own.lsn}, what);
    if (!what.empty()) {
        log_.error("differs_from_master", {{"master", source()}, {"lsn", own.lsn}, {"message", what}});
    }
    {
        const std::lock_guard lock(mutex_);
        comparison_ = {comparison_.number + 1, own.lsn, own.total().text(), what};
        ++figures_.digests_compared;
        figures_.digests_different += what.empty() ? 0 : 1;
        figures_.last_compared_unix = database_.unix_now();
        figures_.last_compared_lsn = own.lsn;
    }
    changed_->notify_all();
}

reply::DigestsCompared Follower::compare(const Deadline& deadline) {
    std::unique_lock lock(mutex_);
    if (channel_ == nullptr) {
        throw RequestError(ErrorCode::replication_error, "There is no stream from a master to compare with");
    }
    const std::uint64_t before = comparison_.number;
    const std::uint64_t connection = figures_.polls.successes;
    comparison_wanted_ = true;
    channel_->wake();
    while (comparison_.number == before) {
        changed_->wait(lock, std::chrono::milliseconds(20));
        deadline.check();
        if (comparison_.number == before && (channel_ == nullptr || figures_.polls.successes != connection)) {
            throw RequestError(ErrorCode::replication_error,
                               "The stream from the master was lost during the comparison");
        }
    }
    if (!comparison_.difference.empty()) {
        throw RequestError(ErrorCode::replication_error, "This node differs from its master at LSN " +
                                                             std::to_string(comparison_.lsn) + ": " +
                                                             comparison_.difference);
    }
    return {comparison_.lsn, comparison_.digest, {figures_.source}};
}

// ---- what is shown

void Follower::set_state(const std::string& state) {
    const std::lock_guard lock(mutex_);
    figures_.state = state;
}

bool Follower::has_diverged() const {
    const std::lock_guard lock(mutex_);
    return figures_.state == "diverged";
}

std::string Follower::doubt() const {
    const std::lock_guard lock(mutex_);
    return refusal_.empty() ? watch_.doubt(now()) : refusal_;
}

SourceWatch Follower::watched() const {
    const std::lock_guard lock(mutex_);
    return watch_;
}

ReplicationFigures Follower::figures() const {
    const auto seconds = [](std::chrono::milliseconds time) {
        return std::chrono::duration<double>(time).count();
    };
    const std::lock_guard lock(mutex_);
    ReplicationFigures figures = figures_;
    figures.is_lag_known = watch_.is_connected();
    if (const auto since = watch_.since_source(now())) {
        figures.seconds_since_heard = seconds(*since);
    }
    if (const auto since = watch_.since_master(now())) {
        figures.seconds_since_master_heard = seconds(*since);
    }
    figures.failover_timeout_ms = static_cast<std::uint64_t>(options_.failover_timeout.count());
    if (figures.source_lsn > figures.replayed_lsn) {
        figures.lag_seconds = std::chrono::duration<double>(now() - behind_since_).count();
        constexpr double far_behind_s = 2;
        if (figures.state == "streaming" && figures.lag_seconds > far_behind_s) {
            figures.state = "catching_up";
        }
    }
    return figures;
}

bool Follower::has_nothing() const {
    const std::lock_guard lock(mutex_);
    const bool is_master_empty = figures_.polls.successes != 0 && figures_.source_lsn == 0;
    return database_.durable_lsn() == 0 && !is_master_empty;
}

/// The first cause that is not gone.
std::string Follower::alarm() const {
    const std::lock_guard lock(mutex_);
    if (!comparison_.difference.empty()) {
        return "differs from its master at LSN " + std::to_string(comparison_.lsn) + ": " +
               comparison_.difference;
    }
    for (const std::string* const cause : {&gap_, &refusal_}) {
        if (!cause->empty()) {
            return *cause;
        }
    }
    std::string doubt = watch_.doubt(now());
    if (!doubt.empty() && !watch_.is_connected() && figures_.polls.last_error) {
        doubt += ": " + *figures_.polls.last_error;
    }
    if (doubt.empty() && watch_.life()) {
        return watch_.life()->failure;
    }
    return doubt;
}

}  // namespace karma::replica
