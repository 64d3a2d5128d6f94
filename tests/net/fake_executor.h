#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>

#include "engine/executor.h"

namespace karma::test {

/// A database whose disk and tasks the test moves by hand. Every increment is an event; a sum answers the
/// number of events so far. A task takes until `release_tasks`: tree.top is a query, snapshot.verify and
/// snapshot.load are administration, of which the second makes an event when it runs, and replication.promote
/// is control.
class FakeExecutor final : public Executor {
public:
    void execute(std::span<const Request> requests, std::span<Outcome> outcomes) override {
        const std::lock_guard lock(mutex_);
        for (std::size_t i = 0; i < requests.size(); ++i) {
            outcomes[i] = answer(requests[i]);
        }
    }

    bool commit() override {
        const std::lock_guard lock(mutex_);
        committed_lsn_ = last_lsn_;
        changed_.notify_all();
        return false;
    }

    bool has_records() const noexcept override { return has_records_; }
    Stats& stats() noexcept override { return stats_; }
    bool accepts_writes() const noexcept override { return true; }
    Lsn durable_lsn() const noexcept override { return durable_lsn_; }
    bool has_failed() const noexcept override { return failed_; }
    std::uint64_t generation() const noexcept override { return generation_; }

    int add_durable_listener(std::function<void()> listener) override {
        const std::lock_guard lock(listeners_mutex_);
        listeners_.emplace(++last_listener_, std::move(listener));
        return last_listener_;
    }
    void remove_durable_listener(int number) override {
        const std::lock_guard lock(listeners_mutex_);
        listeners_.erase(number);
    }

    void make_durable(Lsn lsn) {
        durable_lsn_ = lsn;
        notify();
    }
    /// Another history takes the place of this one, which had come as far as `make_durable` said.
    void begin_generation(Lsn lsn) {
        {
            const std::lock_guard lock(mutex_);
            last_lsn_ = lsn;
            durable_lsn_ = lsn;
            ++generation_;
        }
        notify();
    }
    void fail() {
        failed_ = true;
        notify();
    }
    void hold_records() { has_records_ = false; }
    void release_records() {
        has_records_ = true;
        notify();
    }
    void release_tasks(TaskKind kind = TaskKind::query) {
        const std::lock_guard lock(mutex_);
        released_.insert(kind);
        changed_.notify_all();
    }
    /// Waits until so many tasks run, or have run.
    bool wait_for_tasks(int count, std::chrono::milliseconds patience) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, patience, [&] { return begun_ >= count; });
    }
    int tasks() {
        const std::lock_guard lock(mutex_);
        return begun_;
    }
    /// Waits until all events up to this one were committed.
    bool wait_for_commit(Lsn lsn, std::chrono::milliseconds patience) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, patience, [&] { return committed_lsn_ >= lsn; });
    }

    /// Waits until so many events were accepted.
    bool wait_for_events(Lsn count, std::chrono::milliseconds patience) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, patience, [&] { return last_lsn_ >= count; });
    }
    Lsn events() {
        const std::lock_guard lock(mutex_);
        return last_lsn_;
    }

private:
    class SlowTask final : public Task {
    public:
        SlowTask(FakeExecutor& executor, TaskKind kind, bool makes_event)
            : executor_(executor), kind_(kind), makes_event_(makes_event) {}
        TaskKind kind() const override { return kind_; }
        std::size_t cost_bytes() const override { return std::size_t{1} << 40U; }
        Reply run(const Deadline& deadline) override {
            std::unique_lock lock(executor_.mutex_);
            ++executor_.begun_;
            executor_.changed_.notify_all();
            while (!executor_.changed_.wait_for(lock, std::chrono::milliseconds(5),
                                                [&] { return executor_.released_.contains(kind_); })) {
                deadline.check();
            }
            executor_.last_lsn_ += makes_event_ ? 1 : 0;
            return reply::Top{"slow", 1, {}};
        }

    private:
        FakeExecutor& executor_;
        TaskKind kind_;
        bool makes_event_;
    };

    Outcome later(TaskKind kind, bool makes_event = false) {
        return {std::unique_ptr<Task>(std::make_unique<SlowTask>(*this, kind, makes_event)), 0};
    }

    Outcome answer(const Request& request) {
        if (std::holds_alternative<Mutation>(request) || std::holds_alternative<KeyedMutation>(request)) {
            ++last_lsn_;
            changed_.notify_all();
            return {Reply(reply::Number{last_lsn_}), last_lsn_};
        }
        if (std::holds_alternative<query::Sum>(request)) {
            return {Reply(reply::Number{last_lsn_}), last_lsn_};
        }
        if (std::holds_alternative<query::SeriesTop>(request)) {
            return later(TaskKind::query);
        }
        if (std::holds_alternative<query::VerifySnapshots>(request)) {
            return later(TaskKind::administration);
        }
        if (std::holds_alternative<control::LoadSnapshot>(request)) {
            return later(TaskKind::administration, true);
        }
        if (std::holds_alternative<control::Promote>(request)) {
            return later(TaskKind::control);
        }
        return {Reply(reply::Pong{}), 0};
    }

    void notify() {
        const std::lock_guard lock(listeners_mutex_);
        for (const auto& entry : listeners_) {
            entry.second();
        }
    }

    Stats stats_;
    std::mutex mutex_;
    std::condition_variable changed_;
    Lsn last_lsn_ = 0;
    Lsn committed_lsn_ = 0;
    int begun_ = 0;
    std::set<TaskKind> released_;
    std::atomic<Lsn> durable_lsn_{0};
    std::atomic<bool> failed_{false};
    std::atomic<std::uint64_t> generation_{0};
    std::atomic<bool> has_records_{true};
    std::mutex listeners_mutex_;
    std::map<int, std::function<void()>> listeners_;
    int last_listener_ = 0;
};

}  // namespace karma::test
