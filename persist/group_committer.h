#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "engine/event_codec.h"
#include "engine/stats.h"
#include "engine/storage.h"

namespace karma {

/// Group commit: gathers events while the group before is being written, and writes each group as one atomic,
/// synced batch from a thread of its own.
class GroupCommitter {
public:
    struct Options {
        bool sync = true;  // sync each group to disk, or hand it to the operating system only
        std::uint32_t group_events_max = 1024;
        std::uint32_t group_wait_us = 0;           // how long a group that is not full waits for more
        bool own_thread = true;                    // false: who waits for an event commits it
        std::size_t group_bytes_max = 16U << 20U;  // a group that has so many takes no further event
        /// Told why nothing can be written any more, once, from the thread that commits.
        std::function<void(const std::string& why)> on_failure = {};
    };

    /// `mutex` is the one under which events are made; `storage` and `stats` outlive the committer.
    GroupCommitter(Storage& storage, std::mutex& mutex, Stats& stats, const Options& options);
    GroupCommitter(const GroupCommitter&) = delete;
    GroupCommitter& operator=(const GroupCommitter&) = delete;

    /// Commits what has been added, then ends the thread.
    ~GroupCommitter();

    /// Adds the next event, with what is stored beside it. With the mutex held.
    void add(const Event& event, const EventRecords& records);

    /// To be called after events were added, once, with the mutex held: wakes the thread where it sleeps.
    void flush();

    /// Commits what has been added from the calling thread, unless another one is at it: it will go on with
    /// these then. Without the mutex held. False when nothing was committed here.
    bool commit_here();

    /// Whether `commit_here` is quicker than `flush`: a hand-over costs two changes of threads, which a quick
    /// sync is not worth, but a slow sync would hold up what else the calling thread has to do.
    bool prefers_commit_here() const noexcept;

    /// The last event that is committed.
    Lsn durable_lsn() const noexcept { return durable_lsn_.load(std::memory_order_acquire); }

    /// True once a commit has failed: none will be tried any more.
    bool has_failed() const noexcept { return failed_.load(std::memory_order_acquire); }
    /// From here on nothing is committed: the state is none that what was added gives. With the mutex held.
    void fail(const char* why) noexcept;
    /// Why it failed; empty while it has not.
    std::string failure() const;

    /// Blocks until an event is committed. False when that will never happen. One above all that were added
    /// is of a history that is no more: it was committed before.
    bool wait_durable(Lsn lsn);

    /// Another state has taken the place of all that was added, which is committed; it goes on after `lsn`.
    /// With the mutex held.
    void restart_after(Lsn lsn);

    int add_listener(std::function<void()> listener);
    void remove_listener(int number);

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
    Group open_;                // gathers; under the mutex, as are the next four
    std::deque<Group> full_;    // groups that have reached their size
    std::vector<Group> spare_;  // empty ones, kept for their memory
    bool sleeping_ = false;
    bool stopping_ = false;
    std::atomic<Lsn> added_lsn_;
    std::atomic<Lsn> durable_lsn_;
    std::atomic<bool> failed_{false};

    std::mutex commit_mutex_;  // of who commits; taken before mutex_
    Group group_;              // being committed; under commit_mutex_, as is the next one
    std::string bytes_;        // of the group
    std::atomic<std::int64_t> commit_us_{1'000'000};  // how long commits took lately, until known: long

    mutable std::mutex publish_mutex_;
    std::condition_variable published_;
    std::string failure_;
    std::map<int, std::function<void()>> listeners_;
    int next_listener_ = 0;
    std::thread thread_;
};

}  // namespace karma
