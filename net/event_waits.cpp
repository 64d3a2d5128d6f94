#include "net/event_waits.h"

#include <iterator>
#include <utility>

#include "net/connection.h"

namespace karma::net {
namespace {

void tell(const std::vector<std::shared_ptr<Connection>>& connections) {
    for (const std::shared_ptr<Connection>& connection : connections) {
        connection->on_event();
    }
}

}  // namespace

EventWaits::EventWaits(boost::asio::io_context& context, Executor& executor, std::function<void()> wake)
    : executor_(executor), wake_(std::move(wake)), timer_(context) {}

void EventWaits::add(const EventWait& wait, std::shared_ptr<Connection> connection) {
    if (waiting_.empty()) {
        generation_ = executor_.generation();
    }
    const Time end = std::chrono::steady_clock::now() + wait.time_max;
    const auto added = waiting_.emplace(wait.after_lsn, Waiting{end, std::move(connection)});
    std::multimap<Time, ByLsn::iterator>::iterator at;
    try {
        at = ends_.emplace(end, added);
    } catch (...) {
        waiting_.erase(added);  // each that waits has an end
        throw;
    }
    if (at == ends_.begin()) {
        schedule();
    }
    // It may have come before this was registered.
    if (executor_.durable_lsn() > wait.after_lsn || executor_.has_failed() ||
        executor_.generation() != generation_) {
        wake_();
    }
}

void EventWaits::release() {
    if (waiting_.empty()) {
        return;
    }
    // LSNs of another history say nothing of those that are waited for.
    if (executor_.has_failed() || executor_.generation() != generation_) {
        release_all();
        return;
    }
    std::vector<std::shared_ptr<Connection>> taken;
    take(waiting_.begin(), waiting_.lower_bound(executor_.durable_lsn()), taken);
    tell(taken);
}

void EventWaits::repair() {
    if (!ends_.empty()) {
        schedule();
    }
}

void EventWaits::release_all() {
    std::vector<std::shared_ptr<Connection>> taken;
    take(waiting_.begin(), waiting_.end(), taken);
    tell(taken);
}

void EventWaits::take(ByLsn::iterator from, ByLsn::iterator to,
                      std::vector<std::shared_ptr<Connection>>& taken) {
    taken.reserve(static_cast<std::size_t>(std::distance(from, to)));
    while (from != to) {
        for (auto end = ends_.lower_bound(from->second.end);; ++end) {
            if (end->second == from) {
                ends_.erase(end);
                break;
            }
        }
        taken.push_back(std::move(from->second.connection));
        from = waiting_.erase(from);
    }
    if (waiting_.empty()) {
        timer_.cancel();  // a thread that ends does not wait for it
    }
}

void EventWaits::release_timed_out() {
    const Time now = std::chrono::steady_clock::now();
    std::vector<std::shared_ptr<Connection>> taken;
    while (!ends_.empty() && ends_.begin()->first <= now) {
        const auto at = ends_.begin()->second;
        taken.push_back(at->second.connection);
        waiting_.erase(at);
        ends_.erase(ends_.begin());
    }
    tell(taken);
    if (!ends_.empty()) {
        schedule();
    }
}

void EventWaits::schedule() {
    timer_.expires_at(ends_.begin()->first);
    timer_.async_wait([this](const boost::system::error_code& failure) {
        if (!failure) {
            release_timed_out();
        }
    });
}

}  // namespace karma::net
