#include "persist/group_committer.h"

#include <chrono>
#include <exception>
#include <limits>
#include <new>
#include <utility>

#include "persist/record_store.h"

namespace karma {

GroupCommitter::GroupCommitter(Storage& storage, std::mutex& mutex, Stats& stats, const Options& options)
    : storage_(storage),
      mutex_(mutex),
      stats_(stats),
      options_(options),
      added_lsn_(storage.next_lsn() - 1),
      durable_lsn_(storage.next_lsn() - 1) {
    if (options_.own_thread) {
        thread_ = std::thread([this] { run(); });
    }
}

GroupCommitter::~GroupCommitter() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        work_.notify_one();
    }
    if (thread_.joinable()) {
        thread_.join();
    } else {
        run();
    }
}

void GroupCommitter::add(const Event& event, const EventRecords& records) {
    if (open_.events.count() >= options_.group_events_max ||
        open_.events.bytes() >= options_.group_bytes_max) {
        full_.push_back(std::move(open_));
        spare_.reserve(spare_.size() + full_.size());  // to take one must not fail
        open_ = Group();
        if (!spare_.empty()) {
            open_ = std::move(spare_.back());
            spare_.pop_back();
        }
        work_.notify_one();
    }
    open_.events.add(event);
    added_lsn_.store(event.lsn, std::memory_order_release);
    if (records.idempotency != nullptr) {
        append_record(*records.idempotency, open_.idempotency);
        ++open_.idempotency_count;
        open_.last_idempotency_lsn = event.lsn;
    }
    if (records.stream != nullptr) {
        open_.changes.push_back(committed_stream_change(*records.stream));
    }
    if (!records.pruned_streams.empty()) {
        append_pruned_streams(records.pruned_streams, event.lsn, open_.changes);
    }
    if (records.first_record_lsn) {
        open_.changes.push_back(first_record_change(*records.first_record_lsn));
    }
}

void GroupCommitter::flush() {
    if (sleeping_) {
        sleeping_ = false;
        work_.notify_one();
    }
}

bool GroupCommitter::wait_for_work() {
    std::unique_lock lock(mutex_);
    while (!stopping_ && !has_work()) {
        sleeping_ = true;
        work_.wait(lock);
    }
    sleeping_ = false;
    if (full_.empty() && options_.group_wait_us != 0 && !stopping_) {
        work_.wait_for(lock, std::chrono::microseconds(options_.group_wait_us),
                       [this] { return stopping_ || !full_.empty(); });
    }
    return has_work();
}

void GroupCommitter::run() {
    while (wait_for_work()) {
        const std::lock_guard committing(commit_mutex_);
        commit_next();
    }
}

bool GroupCommitter::prefers_commit_here() const noexcept {
    constexpr std::int64_t commit_us_max = 500;
    return !options_.own_thread ||
           (options_.group_wait_us == 0 && commit_us_.load(std::memory_order_relaxed) <= commit_us_max);
}

bool GroupCommitter::commit_here() {
    bool committed = false;
    while (true) {
        bool is_here = false;
        {
            const std::unique_lock committing(commit_mutex_, std::try_to_lock);
            is_here = committing.owns_lock();
            committed = (is_here && commit_next()) || committed;
        }
        // Either the other one has begun without these, or more came meanwhile.
        const std::lock_guard lock(mutex_);
        if (!has_work()) {
            return committed;
        }
        if (options_.own_thread || !is_here) {  // without a thread, whoever commits looks again
            flush();
            return committed;
        }
    }
}

bool GroupCommitter::has_work() const noexcept { return !full_.empty() || !open_.empty(); }

bool GroupCommitter::take_group() {
    const std::lock_guard lock(mutex_);
    if (!full_.empty()) {
        spare_.push_back(std::exchange(group_, std::move(full_.front())));
        full_.pop_front();
        return true;
    }
    std::swap(group_, open_);  // the group that was committed last is empty and becomes the open one
    return !group_.empty();
}

bool GroupCommitter::commit_next() {
    if (!take_group()) {
        return false;
    }
    write_group();
    publish();
    return true;
}

/// What it throws is not known to be stored, nor not to be.
void GroupCommitter::write_group() {
    try {
        if (has_failed()) {
            group_ = Group();  // an event may have been added in part
            return;
        }
        append_group();
    } catch (const std::exception& failure) {
        note_failure(failure.what());
    }
}

void GroupCommitter::fail(const char* why) noexcept {
    added_lsn_.store(std::numeric_limits<Lsn>::max(),
                     std::memory_order_release);  // nothing is of another history
    note_failure(why);
    publish();
}

void GroupCommitter::note_failure(const char* why) noexcept {
    const std::lock_guard lock(publish_mutex_);
    if (failed_.exchange(true, std::memory_order_acq_rel)) {
        return;
    }
    try {
        failure_ = why;
        if (options_.on_failure) {
            options_.on_failure(failure_);
        }
    } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): then it is not told
    }
}

void GroupCommitter::append_group() {
    const Lsn first_lsn = group_.events.first_lsn();
    const std::uint32_t count = group_.events.count();
    group_.events.finish(bytes_);
    const std::uint32_t idempotency_count = std::exchange(group_.idempotency_count, 0);
    if (idempotency_count != 0) {
        group_.changes.push_back(records_change(group_.last_idempotency_lsn, std::move(group_.idempotency)));
    }
    using Clock = std::chrono::steady_clock;
    const Clock::time_point begin = Clock::now();
    storage_.append({first_lsn, count, bytes_}, group_.changes, options_.sync);
    durable_lsn_.store(first_lsn + count - 1, std::memory_order_release);
    if (idempotency_count != 0) {
        // The record holds the room that the next group's can have.
        group_.idempotency = std::move(*group_.changes.back().value);
        group_.idempotency.clear();
    }
    group_.changes.clear();
    note_time(std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - begin).count(),
              idempotency_count);
}

void GroupCommitter::note_time(std::int64_t took_ns, std::uint32_t idempotency_count) noexcept {
    const std::int64_t took_us = took_ns / 1000;
    const std::int64_t before = commit_us_.load(std::memory_order_relaxed);
    commit_us_.store(before == 1'000'000 ? took_us : (before * 7 + took_us) / 8, std::memory_order_relaxed);
    if (idempotency_count != 0) {
        const auto ns = static_cast<std::uint64_t>(took_ns);
        Stats::add(stats_.idempotency_writes, idempotency_count);
        Stats::add(stats_.idempotency_write_ns, ns * idempotency_count);
        stats_.idempotency_last_write_ns.store(ns, std::memory_order_relaxed);
    }
}

void GroupCommitter::publish() {
    const std::lock_guard lock(publish_mutex_);
    if (options_.on_progress) {
        options_.on_progress();
    }
    published_.notify_all();
}

std::string GroupCommitter::failure() const {
    const std::lock_guard lock(publish_mutex_);
    return failure_;
}

bool GroupCommitter::wait_durable(Lsn lsn) {
    if (!options_.own_thread) {
        while (durable_lsn() < lsn && commit_here()) {}
    }
    std::unique_lock lock(publish_mutex_);
    const auto is_durable = [&] {
        return durable_lsn() >= lsn || added_lsn_.load(std::memory_order_acquire) < lsn;
    };
    published_.wait(lock, [&] { return is_durable() || has_failed(); });
    return is_durable();
}

void GroupCommitter::restart_after(Lsn lsn) {
    added_lsn_.store(lsn, std::memory_order_release);
    durable_lsn_.store(lsn, std::memory_order_release);
    publish();
}

}  // namespace karma
