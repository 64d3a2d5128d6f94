#include "replica/source_watch.h"

#include <algorithm>
#include <utility>

namespace karma::replica {
namespace {

std::string seconds_text(std::chrono::milliseconds time) {
    return std::to_string(time.count() / 1000) + " s";
}

}  // namespace

void SourceWatch::begin(Time now) {
    end();
    is_following_ = true;
    gone_at_ = now;
}

void SourceWatch::note_lost(Time now) {
    if (std::exchange(is_connected_, false)) {
        gone_at_ = now;
    }
}

void SourceWatch::note_connected(Time now) {
    is_connected_ = true;
    is_plain_ = false;
    note_word(now);
}

void SourceWatch::note_word(Time now) {
    source_at_ = now;
    if (life_ && life_->is_master()) {
        master_at_ = now;
    }
}

void SourceWatch::note_life(Life life, Time now) {
    is_plain_ = false;
    source_at_ = now;
    if (life.master_heard) {
        master_at_ = std::max(master_at_.value_or(now - *life.master_heard), now - *life.master_heard);
    }
    life_ = std::move(life);
}

void SourceWatch::note_plain_life(Time now) {
    is_plain_ = true;
    note_word(now);
}

void SourceWatch::note_has_everything(Time now) {
    if (connected_doubt(now).empty()) {
        in_sync_at_ = now;
    }
}

std::optional<SourceWatch::Milliseconds> SourceWatch::since(const std::optional<Time>& time, Time now) {
    return time ? std::optional(std::chrono::floor<Milliseconds>(now - *time)) : std::nullopt;
}

std::string SourceWatch::connected_doubt(Time now) const {
    if (is_plain_) {
        return {};
    }
    if (!life_) {
        return "the source has not said yet who is master";
    }
    if (!life_->doubt.empty()) {
        return "the source " + life_->doubt;
    }
    if (!master_at_) {
        return "the source has not heard a master";
    }
    if (const auto silent = *since_master(now); silent > timeout_) {
        return "the master was last heard " + seconds_text(silent) + " ago";
    }
    return {};
}

std::string SourceWatch::doubt(Time now) const {
    if (!is_following_) {
        return {};
    }
    // Who has just begun, or lost a connection, is given the time that silence is given; answers that are
    // none, like a connection that is closed each time, do not begin it anew.
    if (!is_connected_) {
        const auto gone = std::chrono::floor<Milliseconds>(now - gone_at_);
        return gone < timeout_ ? std::string() : "not connected to the source for " + seconds_text(gone);
    }
    if (!life_ && since_source(now).value_or(Milliseconds(0)) < timeout_) {
        return {};
    }
    return connected_doubt(now);
}

bool SourceWatch::was_lost_in_sync(Time now, Milliseconds limit) const {
    // Behind another follower the master cannot be heard: it may be there, and only the source gone.
    const bool has_followed_master = life_ && life_->is_master();
    if (!has_followed_master || !in_sync_at_ || !source_at_ || !master_at_ || now - *source_at_ < limit ||
        now - *master_at_ < limit) {
        return false;
    }
    return *master_at_ - *in_sync_at_ <= limit / 2;
}

}  // namespace karma::replica
