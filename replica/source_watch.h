#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "replica/life.h"
#include "replica/runtime.h"

namespace karma::replica {

/// What a follower knows of its source and of the master behind it, and since when. A word of the source is
/// whatever it sends, and an answer of any kind; a word of the master is one of a source that is the master,
/// or what its source says that it has heard. Used by one thread at a time.
class SourceWatch {
public:
    using Time = Clock::time_point;
    using Milliseconds = std::chrono::milliseconds;

    /// A source or a master that was silent for `timeout` is not counted on.
    explicit SourceWatch(Milliseconds timeout) : timeout_(timeout) {}

    /// Following begins: nothing is known.
    void begin(Time now);
    /// It follows no more.
    void end() { *this = SourceWatch(timeout_); }
    void note_connected(Time now);
    void note_lost(Time now);
    /// The source said something.
    void note_word(Time now);
    void note_life(Life life, Time now);
    /// A heartbeat that says nothing but an LSN: of a program that knows no more.
    void note_plain_life(Time now);
    /// This node has everything that it knows of.
    void note_has_everything(Time now);
    /// The master has to be heard anew before its silence counts.
    void forget_sync() { in_sync_at_.reset(); }

    bool is_connected() const noexcept { return is_connected_; }
    /// The source has said what it is.
    bool knows_source() const noexcept { return is_plain_ || life_; }
    /// What it gets comes from a master that was heard lately.
    bool has_master(Time now) const { return connected_doubt(now).empty(); }
    /// What the source said last of itself; nothing before it did.
    const std::optional<Life>& life() const noexcept { return life_; }

    /// Since the last word; nothing while there was none.
    std::optional<Milliseconds> since_source(Time now) const { return since(source_at_, now); }
    std::optional<Milliseconds> since_master(Time now) const { return since(master_at_, now); }

    /// Why this node cannot count on what it gets: it is not connected, or not to a chain that ends in a
    /// master which was heard lately. Empty where it can.
    std::string doubt(Time now) const;

    /// The source, which said last that it is master, was not heard for so long, and until then this node had
    /// everything.
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
