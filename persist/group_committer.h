#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "engine/event_codec.h"
#include "engine/stats.h"
#include "engine/storage.h"

namespace karma {

/// Group commit: adds events to the open group while the group before is being written, and writes each group
/// as one atomic, synced batch, from the calling thread or from a thread of its own.
class GroupCommitter {
public:
    struct Options {
        bool sync = true;  // sync each group to disk, or hand it to the operating system only
        std::uint32_t group_events_max = 1024;
        std::uint32_t group_wait_us =
            0;                   // batching delay: how long a group that is not full waits for more events
        bool own_thread = true;  // false: the caller that waits for an event commits it
        std::size_t group_bytes_max = 16U << 20U;  // a group of this size takes no further event
        /// Called after each commit, and when nothing can be written any more, from the thread that commits.
        /// It must be quick.
        std::function<void()> on_progress = {};
        /// Called once, from the thread that commits, with the reason why nothing can be written any more.
        std::function<void(const std::string& why)> on_failure = {};
    };

    /// `mutex` is the mutex under which events are made. `storage` and `stats` outlive the committer.
    GroupCommitter(Storage& storage, std::mutex& mutex, Stats& stats, const Options& options);
    GroupCommitter(const GroupCommitter&) = delete;
    GroupCommitter& operator=(const GroupCommitter&) = delete;

    /// Commits what has been added, then ends the thread.
    ~GroupCommitter();

    /// Adds the next event, with the records that follow from it. With the mutex held.
    void add(const Event& event, const EventRecords& records);

    /// Wakes the thread if it sleeps. The caller calls this once after it has added events, with the mutex
    /// held.
    void flush();

    /// Commits the added events in the calling thread. If another thread is committing, that thread will
    /// commit them, too. Without the mutex held. False when nothing was committed here.
    bool commit_here();

    /// Whether `commit_here` is quicker than `flush`. Waking a thread costs two switches of threads, more
    /// than a quick sync; a slow sync would delay the other work of the calling thread.
    bool prefers_commit_here() const noexcept;

    /// The last event that is committed.
    Lsn durable_lsn() const noexcept { return durable_lsn_.load(std::memory_order_acquire); }

    /// True once a commit has failed: none will be tried any more.
    bool has_failed() const noexcept { return failed_.load(std::memory_order_acquire); }
    /// Commits nothing any more, because the state in memory is not the one that the added events give. With
    /// the mutex held.
    void fail(const char* why) noexcept;
    /// Why it failed; empty if it has not.
    std::string failure() const;

    /// Blocks until an event is committed. False when that will never happen. An LSN above all added events
    /// belongs to an earlier history, which was committed: true.
    bool wait_durable(Lsn lsn);

    /// Goes on after `lsn`, because another state has taken the place of the old one. All added events are
    /// committed. With the mutex held.
    void restart_after(Lsn lsn);

private:
    void run();
    /// Waits for events. False when the committer ends and nothing is left.
    bool wait_for_work();
    /// Commits the next group, when there is one. With commit_mutex_ held.
    bool commit_next();
    /// Events that are committed together, and what follows from them.
    struct Group {
        EventGroupBuilder events;
        std::string idempotency;  // records, one after the other
        std::uint32_t idempotency_count = 0;
        Lsn last_idempotency_lsn = 0;
        std::vector<RecordChange> changes;  // others

        bool empty() const noexcept { return events.empty(); }
    };

    /// With the mutex held.
    bool has_work() const noexcept;
    bool take_group();
    void write_group();
    void append_group();
    void note_failure(const char* why) noexcept;
    void note_time(std::int64_t took_ns, std::uint32_t idempotency_count) noexcept;
    void publish();

    Storage& storage_;
    std::mutex& mutex_;
    Stats& stats_;
    const Options options_;
    std::condition_variable work_;
    Group open_;                // takes events; under the mutex, as are the next four
    std::deque<Group> full_;    // groups that have reached their size
    std::vector<Group> spare_;  // empty ones, kept for their memory
    bool sleeping_ = false;
    bool stopping_ = false;
    std::atomic<Lsn> added_lsn_;
    std::atomic<Lsn> durable_lsn_;
    std::atomic<bool> failed_{false};

    std::mutex commit_mutex_;  // held by the thread that commits; taken before mutex_
    Group group_;              // being committed; under commit_mutex_, as is the next one
    std::string bytes_;        // of the group
    std::atomic<std::int64_t> commit_us_{
        1'000'000};  // average time of the latest commits; large until it is known

    mutable std::mutex publish_mutex_;
    std::condition_variable published_;
    std::string failure_;
    std::thread thread_;
};

}  // namespace karma
