#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "replica/life.h"
#include "replica/runtime.h"

namespace karma::replica {

/// What a follower knows of its source and of the master behind it, and since when. The follower hears the
/// source with everything that the source sends, and with an answer of any kind. It hears the master if the
/// source is the master, or if the source reports that it has heard the master. Used by one thread at a time.
class SourceWatch {
public:
    using Time = Clock::time_point;
    using Milliseconds = std::chrono::milliseconds;

    /// After `timeout` of silence the follower does not rely on a source or a master.
    explicit SourceWatch(Milliseconds timeout) : timeout_(timeout) {}

    /// Following begins: nothing is known.
    void begin(Time now);
    /// It follows no more.
    void end() { *this = SourceWatch(timeout_); }
    void note_connected(Time now);
    void note_lost(Time now);
    /// The source has sent something.
    void note_word(Time now);
    void note_life(Life life, Time now);
    /// A heartbeat with nothing but an LSN, from an earlier version.
    void note_plain_life(Time now);
    /// This node has all events that it knows of.
    void note_has_everything(Time now);
    /// The master has to be heard again before its silence counts.
    void forget_sync() { in_sync_at_.reset(); }

    bool is_connected() const noexcept { return is_connected_; }
    /// The source has described itself.
    bool knows_source() const noexcept { return is_plain_ || life_; }
    /// The follower's events come from a master that was heard recently.
    bool has_master(Time now) const { return connected_doubt(now).empty(); }
    /// The last description that the source sent of itself; nothing before the first.
    const std::optional<Life>& life() const noexcept { return life_; }

    /// The time since it was heard last; nothing if it never was.
    std::optional<Milliseconds> since_source(Time now) const { return since(source_at_, now); }
    std::optional<Milliseconds> since_master(Time now) const { return since(master_at_, now); }

    /// Why this node cannot rely on its source: it is not connected, or its chain does not end in a master
    /// that was heard recently. Empty if it can.
    std::string doubt(Time now) const;

    /// The source, whose last description says that it is master, was not heard for this time, and until then
    /// this node had all events.
    bool was_lost_in_sync(Time now, Milliseconds limit) const;

private:
    static std::optional<Milliseconds> since(const std::optional<Time>& time, Time now);
    std::string connected_doubt(Time now) const;

    Milliseconds timeout_;
    bool is_following_ = false;
    bool is_connected_ = false;
    bool is_plain_ = false;
    Time gone_at_;  // since when it is not connected, while it is not
    std::optional<Time> source_at_;
    std::optional<Time> master_at_;
    std::optional<Time> in_sync_at_;
    std::optional<Life> life_;
};

}  // namespace karma::replica
