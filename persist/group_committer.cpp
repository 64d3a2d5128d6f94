#include "persist/group_committer.h"

#include <chrono>
#include <exception>
#include <utility>

namespace karma {

GroupCommitter::GroupCommitter(Storage& storage, std::mutex& mutex, const Options& options)
    : storage_(storage), mutex_(mutex), options_(options), durable_lsn_(storage.next_lsn() - 1) {
    thread_ = std::thread([this] { run(); });
}

GroupCommitter::~GroupCommitter() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        work_.notify_one();
    }
    thread_.join();
}

void GroupCommitter::add(const Event& event) {
    if (open_.count() >= options_.group_events_max) {
        full_.push_back(std::move(open_));
        open_ = EventGroupBuilder();
        if (!spare_.empty()) {
            open_ = std::move(spare_.back());
            spare_.pop_back();
        }
        work_.notify_one();
    }
    open_.add(event);
}

void GroupCommitter::flush() {
    if (sleeping_) {
        sleeping_ = false;
        work_.notify_one();
    }
}

bool GroupCommitter::wait_for_work() {
    std::unique_lock lock(mutex_);
    while (!stopping_ && full_.empty() && open_.empty()) {
        sleeping_ = true;
        work_.wait(lock);
    }
    sleeping_ = false;
    if (full_.empty() && options_.group_wait_us != 0 && !stopping_) {
        work_.wait_for(lock, std::chrono::microseconds(options_.group_wait_us),
                       [this] { return stopping_ || !full_.empty(); });
    }
    return !full_.empty() || !open_.empty();
}

void GroupCommitter::run() {
    while (wait_for_work()) {
        const std::lock_guard committing(commit_mutex_);
        commit_next();
    }
}

bool GroupCommitter::prefers_commit_here() const noexcept {
    constexpr std::int64_t commit_us_max = 500;
    return options_.group_wait_us == 0 && commit_us_.load(std::memory_order_relaxed) <= commit_us_max;
}

bool GroupCommitter::commit_here() {
    bool committed = false;
    {
        const std::unique_lock committing(commit_mutex_, std::try_to_lock);
        committed = committing.owns_lock() && commit_next();
    }
    // Either the other one has begun without these, or more came meanwhile.
    const std::lock_guard lock(mutex_);
    if (!full_.empty() || !open_.empty()) {
        flush();
    }
    return committed;
}

bool GroupCommitter::take_group() {
    const std::lock_guard lock(mutex_);
    if (!full_.empty()) {
        spare_.push_back(std::exchange(group_, std::move(full_.front())));
        full_.pop_front();
        return true;
    }
    std::swap(group_, open_);  // the one that was committed last is empty and gathers next
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

void GroupCommitter::write_group() {
    const Lsn first_lsn = group_.first_lsn();
    const std::uint32_t count = group_.count();
    group_.finish(bytes_);
    if (has_failed()) {
        return;
    }
    using Clock = std::chrono::steady_clock;
    const Clock::time_point begin = Clock::now();
    try {
        storage_.append({first_lsn, count, bytes_}, {}, options_.sync);
        durable_lsn_.store(first_lsn + count - 1, std::memory_order_release);
    } catch (const std::exception& failure) {
        const std::lock_guard lock(publish_mutex_);
        failure_ = failure.what();
        failed_.store(true, std::memory_order_release);
    }
    const auto took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin).count();
    const std::int64_t before = commit_us_.load(std::memory_order_relaxed);
    commit_us_.store(before == 1'000'000 ? took : (before * 7 + took) / 8, std::memory_order_relaxed);
}

void GroupCommitter::publish() {
    const std::lock_guard lock(publish_mutex_);
    for (const auto& entry : listeners_) {
        entry.second();
    }
    published_.notify_all();
}

std::string GroupCommitter::failure() const {
    const std::lock_guard lock(publish_mutex_);
    return failure_;
}

bool GroupCommitter::wait_durable(Lsn lsn) {
    std::unique_lock lock(publish_mutex_);
    published_.wait(lock, [&] { return durable_lsn() >= lsn || has_failed(); });
    return durable_lsn() >= lsn;
}

int GroupCommitter::add_listener(std::function<void()> listener) {
    const std::lock_guard lock(publish_mutex_);
    listeners_.emplace(++next_listener_, std::move(listener));
    return next_listener_;
}

void GroupCommitter::remove_listener(int number) {
    const std::lock_guard lock(publish_mutex_);
    listeners_.erase(number);
}

}  // namespace karma
