#include "replica/follower_status.h"

#include <algorithm>
#include <utility>

#include "engine/error.h"

namespace karma::replica {

FollowerStatus::FollowerStatus(const Replicated& database, Runtime& runtime, const FollowerOptions& options,
                               std::string source)
    : database_(database), runtime_(runtime), options_(options), watch_(options.timeout) {
    statistics_.source = std::move(source);
    statistics_.state = "stopped";
}

// ---- connections

void FollowerStatus::note_start() {
    const std::lock_guard lock(mutex_);
    watch_.begin(now());
}

void FollowerStatus::note_ready() {
    const std::lock_guard lock(mutex_);
    statistics_.replayed_lsn = database_.durable_lsn();
}

void FollowerStatus::set_state(std::string_view state) {
    const std::lock_guard lock(mutex_);
    statistics_.state = state;
}

void FollowerStatus::note_attempt() {
    const std::lock_guard lock(mutex_);
    statistics_.polls.attempt(database_.unix_now());
    if (refusal_.empty()) {
        statistics_.state = "connecting";
    }
}

void FollowerStatus::note_accepted(Lsn source_lsn) {
    const std::lock_guard lock(mutex_);
    statistics_.polls.succeed(database_.unix_now());
    refusal_.clear();
    watch_.note_connected(now());
    take_source_lsn(source_lsn);
}

void FollowerStatus::note_lost(const std::string& why) {
    const std::lock_guard lock(mutex_);
    statistics_.polls.fail(database_.unix_now(), why.c_str());
    statistics_.state = "connecting";
    watch_.note_lost(now());
}

void FollowerStatus::note_refused(const char* state, const std::string& why) {
    const std::lock_guard lock(mutex_);
    statistics_.polls.fail(database_.unix_now(), why.c_str());
    statistics_.state = state;
    refusal_ = why;
    watch_.note_lost(now());
}

void FollowerStatus::note_unfollowable(const std::string& why) {
    const std::lock_guard lock(mutex_);
    watch_.note_word(now());
    refusal_ = why;
}

void FollowerStatus::note_stream(bool is_there) {
    const std::lock_guard lock(mutex_);
    has_stream_ = is_there;
    changed_->notify_all();
}

// ---- what is heard of the source

void FollowerStatus::note_bytes_received(std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    watch_.note_word(now());
    statistics_.bytes_received += bytes;
}

void FollowerStatus::note_word() {
    const std::lock_guard lock(mutex_);
    watch_.note_word(now());
}

bool FollowerStatus::note_life(Life life) {
    const std::lock_guard lock(mutex_);
    const bool has_failed = std::exchange(failure_, life.failure) != life.failure && !life.failure.empty();
    watch_.note_life(std::move(life), now());
    return has_failed;
}

void FollowerStatus::note_plain_life() {
    const std::lock_guard lock(mutex_);
    watch_.note_plain_life(now());
}

void FollowerStatus::note_source_lsn(Lsn lsn) {
    const std::lock_guard lock(mutex_);
    take_source_lsn(lsn);
}

void FollowerStatus::take_source_lsn(Lsn lsn) {
    const bool was_behind = statistics_.source_lsn > statistics_.replayed_lsn;
    statistics_.source_lsn = lsn;
    if (lsn > statistics_.replayed_lsn && !was_behind) {
        behind_since_ = now();
    }
    if (has_stream_) {
        note_if_in_sync();
    }
}

void FollowerStatus::note_committed(Lsn lsn) {
    const std::lock_guard lock(mutex_);
    if (lsn > statistics_.replayed_lsn) {
        statistics_.entries_applied += lsn - statistics_.replayed_lsn;
        statistics_.last_received_unix = database_.unix_now();
        gap_.clear();
    }
    statistics_.replayed_lsn = lsn;
    statistics_.source_lsn = std::max(statistics_.source_lsn, lsn);
    note_if_in_sync();
}

void FollowerStatus::note_polled(Life life, Lsn source_lsn, std::uint64_t applied) {
    const std::lock_guard lock(mutex_);
    watch_.note_connected(now());
    watch_.note_life(std::move(life), now());
    take_source_lsn(source_lsn);
    refusal_.clear();
    statistics_.polls.attempt(database_.unix_now());
    statistics_.polls.succeed(database_.unix_now());
    statistics_.entries_applied += applied;
    statistics_.replayed_lsn = database_.durable_lsn();
    if (applied != 0) {
        statistics_.last_received_unix = database_.unix_now();
    }
    note_if_in_sync();
}

/// Under load there is always something on its way: what counts is when there was nothing last.
void FollowerStatus::note_if_in_sync() {
    // While a state comes, what this node has is about to be replaced.
    if (statistics_.replayed_lsn < statistics_.source_lsn || statistics_.state == "bootstrapping") {
        return;
    }
    watch_.note_has_everything(now());
    if (has_stream_ && watch_.knows_source()) {
        statistics_.state = watch_.has_master(now()) ? "streaming" : "no_master";
    }
}

void FollowerStatus::forget_sync() {
    const std::lock_guard lock(mutex_);
    watch_.forget_sync();
}

void FollowerStatus::note_gap(const std::string& why) {
    const std::lock_guard lock(mutex_);
    gap_ = why;
}

// ---- states and comparisons

void FollowerStatus::note_state_wanted() {
    const std::lock_guard lock(mutex_);
    statistics_.bootstraps.attempt(database_.unix_now());
}

void FollowerStatus::note_state_failed(const std::string& why) {
    const std::lock_guard lock(mutex_);
    statistics_.bootstraps.fail(database_.unix_now(), why.c_str());
}

void FollowerStatus::note_installing(bool is_under_way) {
    const std::lock_guard lock(mutex_);
    installs_state_ = is_under_way;
}

void FollowerStatus::note_installed() {
    const std::lock_guard lock(mutex_);
    statistics_.bootstraps.succeed(database_.unix_now());
    statistics_.replayed_lsn = database_.durable_lsn();
    statistics_.state = "catching_up";
    comparison_.difference.clear();
    gap_.clear();
}

void FollowerStatus::note_discarded(std::string what) {
    const std::lock_guard lock(mutex_);
    statistics_.discarded = std::move(what);
}

void FollowerStatus::note_compared(Lsn lsn, std::string digest, std::string difference) {
    const std::lock_guard lock(mutex_);
    ++statistics_.digests_compared;
    statistics_.digests_different += difference.empty() ? 0 : 1;
    statistics_.last_compared_unix = database_.unix_now();
    statistics_.last_compared_lsn = lsn;
    comparison_ = {comparison_.number + 1, lsn, std::move(digest), std::move(difference)};
    changed_->notify_all();
}

FollowerStatus::AwaitedComparison FollowerStatus::next_comparison() const {
    const std::lock_guard lock(mutex_);
    return {comparison_.number + 1, statistics_.polls.successes};
}

reply::DigestsCompared FollowerStatus::wait_for(const AwaitedComparison& awaited,
                                                const Deadline& deadline) const {
    std::unique_lock lock(mutex_);
    while (comparison_.number < awaited.number) {
        if (!has_stream_ || statistics_.polls.successes != awaited.connection) {
            throw RequestError(ErrorCode::replication_error,
                               "The stream from the master was lost during the comparison");
        }
        changed_->wait(lock, std::chrono::milliseconds(20));
        deadline.check();
    }
    if (!comparison_.difference.empty()) {
        throw RequestError(ErrorCode::replication_error,
                           "This node differs from its master " + comparison_.text());
    }
    return {comparison_.lsn, comparison_.digest, {statistics_.source}};
}

// ---- what is shown

std::optional<std::chrono::milliseconds> FollowerStatus::silence() const {
    const std::lock_guard lock(mutex_);
    return watch_.since_source(now());
}

std::uint64_t FollowerStatus::times_accepted() const {
    const std::lock_guard lock(mutex_);
    return statistics_.polls.successes;
}

bool FollowerStatus::takes_state() const {
    const std::lock_guard lock(mutex_);
    return statistics_.state == "bootstrapping";
}

bool FollowerStatus::installs_state() const {
    const std::lock_guard lock(mutex_);
    return installs_state_;
}

bool FollowerStatus::has_nothing() const {
    const std::lock_guard lock(mutex_);
    const bool is_master_empty = statistics_.polls.successes != 0 && statistics_.source_lsn == 0;
    return database_.durable_lsn() == 0 && !is_master_empty;
}

bool FollowerStatus::has_diverged() const {
    const std::lock_guard lock(mutex_);
    return statistics_.state == "diverged";
}

bool FollowerStatus::has_lost_master() const {
    if (!options_.fails_over()) {
        return false;
    }
    const std::lock_guard lock(mutex_);
    return watch_.was_lost_in_sync(now(), options_.failover_timeout) && comparison_.difference.empty();
}

ReplicationStatistics FollowerStatus::statistics() const {
    const auto seconds = [](std::chrono::milliseconds time) {
        return std::chrono::duration<double>(time).count();
    };
    const std::lock_guard lock(mutex_);
    ReplicationStatistics statistics = statistics_;
    statistics.is_lag_known = watch_.is_connected();
    if (const auto since = watch_.since_source(now())) {
        statistics.seconds_since_heard = seconds(*since);
    }
    if (const auto since = watch_.since_master(now())) {
        statistics.seconds_since_master_heard = seconds(*since);
    }
    statistics.failover_timeout_ms = static_cast<std::uint64_t>(options_.failover_timeout.count());
    if (statistics.source_lsn > statistics.replayed_lsn) {
        statistics.lag_seconds = std::chrono::duration<double>(now() - behind_since_).count();
        constexpr double far_behind_s = 2;
        if (statistics.state == "streaming" && statistics.lag_seconds > far_behind_s) {
            statistics.state = "catching_up";
        }
    }
    return statistics;
}

std::string FollowerStatus::doubt() const {
    const std::lock_guard lock(mutex_);
    return refusal_.empty() ? watch_.doubt(now()) : refusal_;
}

SourceWatch FollowerStatus::watched() const {
    const std::lock_guard lock(mutex_);
    return watch_;
}

/// The first cause that is not gone.
std::string FollowerStatus::alarm() const {
    const std::lock_guard lock(mutex_);
    if (!comparison_.difference.empty()) {
        return "differs from its master " + comparison_.text();
    }
    for (const std::string* const cause : {&gap_, &refusal_}) {
        if (!cause->empty()) {
            return *cause;
        }
    }
    std::string doubt = watch_.doubt(now());
    if (!doubt.empty() && !watch_.is_connected() && statistics_.polls.last_error) {
        doubt += ": " + *statistics_.polls.last_error;
    }
    if (doubt.empty() && watch_.life()) {
        return watch_.life()->failure;
    }
    return doubt;
}

}  // namespace karma::replica
