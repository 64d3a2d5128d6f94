#include "replica/follower.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "engine/error.h"
#include "net/address_text.h"
#include "replica/follower_handshake.h"
#include "replica/follower_stream.h"
#include "replica/karma1/polling.h"

namespace karma::replica {
namespace {

/// Between tries, which are the rarer the longer they fail.
constexpr auto retry_after_min = std::chrono::milliseconds(20);
constexpr auto retry_after_max = std::chrono::milliseconds(500);
/// What a person has to settle is tried again, now and then: it may have been settled on the other side.
constexpr auto retry_refused_after = std::chrono::seconds(2);
/// A connection that lasted less than this was none: the next try waits as after a failed one.
constexpr auto lasting_stream_min = std::chrono::seconds(5);

const char* wanted_text(const SubscribeReply& reply) {
    if (!reply.state_follows) {
        return "events";
    }
    return reply.is_proved ? "the state" : "the state, by order";
}

}  // namespace

class Follower::Reachable {
public:
    Reachable(Follower& follower, FollowerStream& stream) : follower_(follower) { set(&stream); }
    Reachable(const Reachable&) = delete;
    Reachable& operator=(const Reachable&) = delete;
    ~Reachable() { set(nullptr); }

private:
    void set(FollowerStream* stream) {
        follower_.status_.note_stream(stream != nullptr);
        const std::lock_guard lock(follower_.mutex_);
        follower_.stream_ = stream;
        follower_.changed_->notify_all();
    }

    Follower& follower_;
};

Follower::Follower(Replicated& database, net::Log& log, FollowerOptions options,
                   std::function<void()> on_master_lost, const Environment& environment,
                   CountedFollowers* counted, Peers* peers)
    : options_(std::move(options)),
      on_master_lost_(std::move(on_master_lost)),
      status_(database, environment.runtime, options_, net::address_text(options_.host, options_.port)),
      context_{database, log, options_, environment, status_, stopping_, counted, peers} {}

Follower::~Follower() { stop(); }

void Follower::start() {
    stop();
    stopping_ = false;
    polling_.reset();  // this node may have become another one since
    thread_ = context_.environment.runtime.start_thread([this] { run(); });
}

void Follower::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        if (stream_ != nullptr) {
            stream_->wake();
        }
        changed_->notify_all();
    }
    thread_.reset();
    status_.set_state("stopped");
}

void Follower::leave_overtaken_source() {
    constexpr auto time_max = std::chrono::milliseconds(300);
    const Clock::time_point end = now() + time_max;
    std::unique_lock lock(mutex_);
    while (stream_ != nullptr && now() < end) {
        stream_->wake();
        changed_->wait(lock, std::chrono::milliseconds(20));
    }
}

reply::DigestsCompared Follower::compare(const Deadline& deadline) {
    FollowerStatus::AwaitedComparison awaited;
    {
        const std::lock_guard lock(mutex_);
        if (stream_ == nullptr) {
            throw RequestError(ErrorCode::replication_error,
                               "There is no stream from a master to compare with");
        }
        awaited = status_.next_comparison();
        stream_->want_comparison();
    }
    return status_.wait_for(awaited, deadline);
}

// ---- of the thread

void Follower::run() {
    status_.note_start();
    if (!context_.database.wait_until_ready()) {
        return;
    }
    status_.note_ready();
    auto retry_after = retry_after_min;
    while (!stopping_) {
        const std::uint64_t accepted_before = status_.times_accepted();
        const Clock::time_point begun = now();
        try {
            follow();
        } catch (const FollowingStopped&) {
            return;
        } catch (const SourceRefused& refused) {
            on_refused(refused);
            wait(retry_refused_after);
            continue;
        } catch (const std::exception& failure) {
            if (stopping_) {
                return;  // what was waited for was given up
            }
            on_lost(failure.what());
        }
        const bool was_accepted = status_.times_accepted() != accepted_before;
        if (was_accepted && now() - begun >= lasting_stream_min) {
            retry_after = retry_after_min;
        } else if (!was_accepted && status_.has_lost_master()) {
            // It did not answer just now either: this node has not merely slept for a while.
            on_master_lost_();
        }
        wait(retry_after);
        retry_after = std::min(retry_after * 2, retry_limit());
    }
}

std::chrono::milliseconds Follower::retry_limit() const {
    return options_.fails_over() ? std::clamp(options_.failover_timeout / 8, retry_after_min, retry_after_max)
                                 : retry_after_max;
}

/// Connects once, and follows until that ends; always ends by an exception.
void Follower::follow() {
    // The LSN that is told is never below what the engine holds.
    context_.database.commit_replicated();
    status_.note_attempt();
    if (std::optional<AcceptedConnection> accepted = FollowerHandshake(context_).run()) {
        stream(std::move(*accepted));
    } else {
        poll();
    }
}

void Follower::stream(AcceptedConnection accepted) {
    status_.note_accepted(accepted.reply.lsn);
    last_error_.clear();
    context_.log.info("following", {{"master", context_.source()},
                                    {"after_lsn", context_.database.durable_lsn()},
                                    {"master_lsn", accepted.reply.lsn},
                                    {"gets", wanted_text(accepted.reply)}});
    FollowerStream stream(context_, std::move(accepted));
    const Reachable reachable(*this, stream);
    stream.run();
}

void Follower::poll() {
    if (polling_ == nullptr) {
        polling_ = std::make_unique<Karma1Polling>(context_);
    }
    polling_->begin();
    while (!stopping_) {
        if (!polling_->poll()) {
            wait(polling_->interval());
        }
    }
    throw FollowingStopped{};
}

void Follower::on_lost(const std::string& why) {
    status_.note_lost(why);
    if (std::exchange(last_error_, why) != why) {
        context_.log.warning("master_lost", {{"master", context_.source()}, {"message", why}});
    }
}

/// Says at once what a person has to settle.
void Follower::on_refused(const SourceRefused& refused) {
    status_.note_refused(refused.state, refused.why);
    if (std::exchange(last_error_, refused.why) != refused.why) {
        context_.log.warning(refused.state, {{"master", context_.source()}, {"message", refused.why}});
    }
}

void Follower::wait(std::chrono::milliseconds time) {
    const Clock::time_point end = now() + time;
    std::unique_lock lock(mutex_);
    for (auto left = time; !stopping_ && left.count() > 0;
         left = std::chrono::ceil<std::chrono::milliseconds>(end - now())) {
        changed_->wait(lock, left);
    }
}

}  // namespace karma::replica
