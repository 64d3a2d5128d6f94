#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include "engine/reply.h"

namespace karma::net {

/// Threads that run the tasks of requests. Each kind of task has threads of its own, so that no task waits
/// for one of another kind. Thread-safe.
class TaskPools {
public:
    TaskPools();

    /// Calls `work` on a thread for tasks of this kind, as soon as one is free.
    template <typename Work>
    void post(TaskKind kind, Work&& work) {
        boost::asio::post(pool(kind), std::forward<Work>(work));
    }

    /// Cancels the tasks of this kind, also queued and later ones: each ends when it checks its deadline
    /// next.
    void cancel(TaskKind kind) noexcept { cancelled_[index_of(kind)].store(true, std::memory_order_relaxed); }
    bool is_cancelled(TaskKind kind) const noexcept {
        return cancelled_[index_of(kind)].load(std::memory_order_relaxed);
    }

    /// Waits until all tasks have ended.
    void join();

private:
    static constexpr std::size_t kinds = 3;
    static std::size_t index_of(TaskKind kind) noexcept { return static_cast<std::size_t>(kind); }
    boost::asio::thread_pool& pool(TaskKind kind) noexcept;

    boost::asio::thread_pool queries_;
    boost::asio::thread_pool administration_;
    boost::asio::thread_pool control_;
    std::array<std::atomic<bool>, kinds> cancelled_{};
};

}  // namespace karma::net
