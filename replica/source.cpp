#include "replica/source.h"

#include <algorithm>
#include <map>

#include "engine/error.h"
#include "replica/session.h"

namespace karma::replica {

Source::Source(Replicated& database, net::Log& log, const SourceOptions& options, const Ground& ground)
    : database_(database), log_(log), options_(options), ground_(ground) {
    listener_ = database_.add_durable_listener([this] { wake_all(); });
}

Source::~Source() {
    stop();
    database_.remove_durable_listener(listener_);
}

void Source::stop() {
    std::list<std::unique_ptr<Session>> ending;
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        for (const std::unique_ptr<Session>& session : sessions_) {
            session->stop();
        }
        ending.swap(sessions_);
    }
}

/// From the thread that commits: nothing here may wait.
void Source::wake_all() {
    const std::lock_guard lock(mutex_);
    for (const std::unique_ptr<Session>& session : sessions_) {
        session->wake();
    }
}

/// Takes away the sessions that have ended. Without the mutex held.
void Source::reap() {
    std::list<std::unique_ptr<Session>> ended;
    const std::lock_guard lock(mutex_);
    for (auto at = sessions_.begin(); at != sessions_.end();) {
        const auto next = std::next(at);
        if ((*at)->has_ended()) {
            bytes_sent_before_ += (*at)->bytes_sent();
            ended.splice(ended.end(), sessions_, at);
        }
        at = next;
    }
}

void Source::adopt(int file, const std::string& address, net::Subscription subscription) {
    std::unique_ptr<Wire> wire;
    try {
        wire = socket_wire(file);
    } catch (const ChannelError& failure) {
        log_.warning("follower_refused",
                     {{"follower", subscription.name}, {"address", address}, {"message", failure.what()}});
        return;
    }
    adopt(std::move(wire), address, std::move(subscription));
}

void Source::adopt(std::unique_ptr<Wire> wire, const std::string& address, net::Subscription subscription) {
    reap();
    const std::string name = subscription.name;
    std::string refused;
    {
        const std::lock_guard lock(mutex_);
        std::size_t others = 0;
        for (const std::unique_ptr<Session>& session : sessions_) {
            if (session->name() == name) {
                session->stop();  // it has connected again: that one is dead, whether it knows or not
            } else {
                ++others;
            }
        }
        // Those that are dead take their time, but not without a limit.
        if (stopping_ || others >= options_.followers_max || sessions_.size() >= 2 * options_.followers_max) {
            refused = "there are too many of them";
        } else {
            refused = begin_session(std::move(wire), address, std::move(subscription));
        }
    }
    if (!refused.empty()) {
        log_.warning("follower_refused", {{"follower", name}, {"address", address}, {"message", refused}});
    }
}

/// Gives what is in the way: no thread or file is left, which is no reason to end the caller's.
std::string Source::begin_session(std::unique_ptr<Wire> wire, const std::string& address,
                                  net::Subscription subscription) {
    const std::size_t before = sessions_.size();
    try {
        sessions_.push_back(
            std::make_unique<Session>(*this, std::move(wire), address, std::move(subscription)));
        sessions_.back()->start();
        return {};
    } catch (const std::exception& failure) {
        sessions_.resize(before);
        return failure.what();
    }
}

std::vector<FollowerFigures> Source::followers() const {
    std::vector<FollowerFigures> all;
    const std::lock_guard lock(mutex_);
    for (const std::unique_ptr<Session>& session : sessions_) {
        if (!session->has_ended()) {
            all.push_back(session->figures());
        }
    }
    return all;
}

std::uint64_t Source::bytes_sent() const {
    const std::lock_guard lock(mutex_);
    std::uint64_t bytes = bytes_sent_before_;
    for (const std::unique_ptr<Session>& session : sessions_) {
        bytes += session->bytes_sent();
    }
    return bytes;
}

std::map<std::string, Lsn> Source::acked_lsns() const {
    std::map<std::string, Lsn> acked;
    const std::lock_guard lock(mutex_);
    for (const std::unique_ptr<Session>& session : sessions_) {
        if (session->is_streaming()) {
            Lsn& lsn = acked[session->name()];
            lsn = std::max(lsn, session->acked_lsn());
        }
    }
    return acked;
}

/// What enough followers have never becomes less: one that is lost has had it.
void Source::on_acknowledged() {
    if (options_.min_acks == 0) {
        return;
    }
    const std::lock_guard acks(acks_mutex_);
    const std::map<std::string, Lsn> acked = acked_lsns();
    if (acked.size() < options_.min_acks) {
        return;
    }
    std::vector<Lsn> lsns;
    for (const auto& [name, lsn] : acked) {
        lsns.push_back(lsn);
    }
    std::ranges::sort(lsns, std::greater<>());
    database_.set_acked_lsn(lsns[options_.min_acks - 1]);
}

// ---- comparisons

void Source::on_compared(const std::string& follower, Lsn lsn, const std::string& digest,
                         const std::string& difference) {
    if (!difference.empty()) {
        log_.error("follower_differs", {{"follower", follower}, {"lsn", lsn}, {"message", difference}});
    }
    {
        const std::lock_guard lock(compared_mutex_);
        std::erase_if(comparisons_, [&](const Comparison& one) { return one.follower == follower; });
        comparisons_.push_back({follower, lsn, digest, difference, ++comparison_count_});
        different_count_ += difference.empty() ? 0 : 1;
        last_compared_unix_ = database_.unix_now();
    }
    compared_->notify_all();
}

void Source::add_comparisons(ReplicationFigures& figures) const {
    const std::lock_guard lock(compared_mutex_);
    figures.digests_compared += comparison_count_;
    figures.digests_different += different_count_;
    if (!comparisons_.empty() && last_compared_unix_ >= figures.last_compared_unix) {
        figures.last_compared_unix = last_compared_unix_;
        figures.last_compared_lsn = comparisons_.back().lsn;
    }
}

std::string Source::alarm() const {
    const std::size_t followers = options_.min_acks == 0 ? 0 : acked_lsns().size();
    if (followers < options_.min_acks && database_.role() == Role::master) {
        return "writes wait for " + std::to_string(options_.min_acks) + " followers, " +
               std::to_string(followers) + " are there";
    }
    const std::lock_guard lock(compared_mutex_);
    for (const Comparison& one : comparisons_) {
        if (!one.difference.empty()) {
            return "follower " + one.follower + " differs at LSN " + std::to_string(one.lsn) + ": " +
                   one.difference;
        }
    }
    return {};
}

reply::DigestsCompared Source::compare(const Deadline& deadline) {
    std::uint64_t before = 0;
    {
        const std::lock_guard lock(compared_mutex_);
        before = comparison_count_;
    }
    std::vector<std::string> awaited;
    std::vector<std::shared_ptr<const std::atomic<bool>>> ended;  // of each of them
    {
        const std::lock_guard lock(mutex_);
        for (const std::unique_ptr<Session>& session : sessions_) {
            if (session->is_streaming() && !session->has_ended()) {
                awaited.push_back(session->name());
                ended.push_back(session->ended());
                session->want_comparison();
            }
        }
    }
    if (awaited.empty()) {
        throw RequestError(ErrorCode::replication_error, "No follower is there to be compared with");
    }
    std::unique_lock lock(compared_mutex_);
    const auto result_of = [&](const std::string& name) {
        return std::ranges::find_if(
            comparisons_, [&](const Comparison& one) { return one.follower == name && one.number > before; });
    };
    const auto is_there = [&](const std::string& name) { return result_of(name) != comparisons_.end(); };
    while (!std::ranges::all_of(awaited, is_there)) {
        compared_->wait(lock, std::chrono::milliseconds(20));
        deadline.check();
        for (std::size_t i = 0; i < awaited.size(); ++i) {
            if (ended[i]->load() && !is_there(awaited[i])) {
                throw RequestError(ErrorCode::replication_error,
                                   "Follower " + awaited[i] + " was lost while it was compared with");
            }
        }
    }
    reply::DigestsCompared compared;
    for (const std::string& name : awaited) {
        const Comparison& one = *result_of(name);
        if (!one.difference.empty()) {
            throw RequestError(
                ErrorCode::replication_error,
                "Follower " + name + " differs at LSN " + std::to_string(one.lsn) + ": " + one.difference);
        }
        compared.with.push_back(name);
        compared.lsn = one.lsn;
        compared.digest = one.digest;
    }
    return compared;
}

}  // namespace karma::replica
