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

bool GroupCommitter::next_group(EventGroupBuilder& group) {
    std::unique_lock lock(mutex_);
    const auto has_work = [this] { return stopping_ || !full_.empty() || !open_.empty(); };
    while (!has_work()) {
        sleeping_ = true;
        work_.wait(lock);
    }
    sleeping_ = false;
    if (full_.empty() && options_.group_wait_us != 0 && !stopping_) {
        work_.wait_for(lock, std::chrono::microseconds(options_.group_wait_us),
                       [this] { return stopping_ || !full_.empty(); });
    }
    if (!full_.empty()) {
        spare_.push_back(std::exchange(group, std::move(full_.front())));
        full_.pop_front();
        return true;
    }
    if (open_.empty()) {
        return false;
    }
    std::swap(group, open_);  // the one that was committed last is empty and gathers next
    return true;
}

void GroupCommitter::run() {
    EventGroupBuilder group;
    while (next_group(group)) {
        commit(group);
    }
}

void GroupCommitter::commit(EventGroupBuilder& group) {
    const EventGroup entry{group.first_lsn(), group.count(), {}};
    group.finish(bytes_);
    if (has_failed()) {
        return;
    }
    try {
        storage_.append({entry.first_lsn, entry.count, bytes_}, {}, options_.sync);
        durable_lsn_.store(entry.first_lsn + entry.count - 1, std::memory_order_release);
    } catch (const std::exception& failure) {
        const std::lock_guard lock(publish_mutex_);
        failure_ = failure.what();
        failed_.store(true, std::memory_order_release);
    }
    publish();
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
