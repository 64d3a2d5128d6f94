#include "replica/source.h"

#include <algorithm>
#include <map>

#include "engine/error.h"
#include "engine/identity.h"
#include "replica/handshake.h"
#include "replica/session.h"

namespace karma::replica {

Source::Source(Replicated& database, net::Log& log, const SourceOptions& options,
               const Environment& environment)
    : database_(database), log_(log), options_(options), environment_(environment), counted_(database, log) {
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

SelfDescription Source::describe() const {
    if (describe_) {
        return describe_();
    }
    SelfDescription self;
    self.life.role = role_text(database_.role());
    return self;
}

std::string Source::refusal_line(const std::string& why) const {
    SubscribeReply reply;
    reply.error_code = "replication_error";
    reply.message = why;
    reply.lsn = database_.durable_lsn();
    reply.known_epoch = database_.known_epoch();
    reply.database_id = database_.database_id();
    reply.node_id = database_.node_id();
    reply.role = role_text(database_.role());
    return reply_line(reply);
}

void Source::log_refusal(const std::string& name, const std::string& address, const std::string& reason,
                         const std::string& message) {
    if (refusals_.is_new(name, reason)) {
        log_.warning("follower_refused", {{"follower", name}, {"address", address}, {"message", message}});
    }
}

void Source::adopt(net::ByteStream stream, const std::string& address, net::Subscription subscription) {
    std::unique_ptr<PeerStream> ready;
    try {
        ready = make_peer_stream(std::move(stream), [this](const char* why) { return refusal_line(why); });
    } catch (const ChannelError& failure) {
        log_refusal(subscription.name, address, failure.what(), failure.what());
        return;
    }
    adopt(std::move(ready), address, std::move(subscription));
}

void Source::adopt(std::unique_ptr<PeerStream> stream, const std::string& address,
                   net::Subscription subscription) {
    reap();
    const std::string name = subscription.name;
    // Not under the mutex: it asks the database, which asks this under its own.
    const SelfDescription self = describe();
    std::string refused;
    std::unique_ptr<Session> failed;
    {
        const std::lock_guard lock(mutex_);
        refused = refusal_of(subscription, self);
        if (refused.empty()) {
            refused = begin_session(stream, address, std::move(subscription), failed);
        }
    }
    if (refused.empty()) {
        return;
    }
    log_refusal(name, address, refused, refused);
    if (failed) {
        failed->say(refusal_line(refused));
        return;
    }
    if (!stream) {
        return;  // lost with what was to serve it: there is no memory or file left to say more
    }
    try {
        // Nothing was sent on this connection that is not taken yet: there is room for a line.
        const std::string line = refusal_line(refused);
        for (std::string_view rest = line; !rest.empty();) {
            const std::size_t sent = stream->send(rest);
            if (sent == 0) {
                break;
            }
            rest.remove_prefix(sent);
        }
    } catch (const ChannelError&) {  // NOLINT(bugprone-empty-catch): it has gone
    }
    stream->end();
}

std::string Source::refusal_of(const net::Subscription& subscription, const SelfDescription& self) {
    if (stopping_) {
        return "this node is stopping";
    }
    const std::uint64_t node = subscription.node_id;
    if (node != 0) {
        const auto in_chain = [node](const NodeName& one) { return one.id == node; };
        const auto found = std::ranges::find_if(self.life.chain, in_chain);
        if (found != self.life.chain.end() && found == self.life.chain.begin()) {
            return "this is the node itself: a node cannot follow itself";
        }
        if (found != self.life.chain.end()) {
            return "this node follows the one that asks, over " +
                   std::to_string(found - self.life.chain.begin()) + " step(s): that would be a ring";
        }
    }
    if (!self.refusal.empty()) {
        return self.refusal;
    }
    std::size_t others = 0;
    for (const std::unique_ptr<Session>& session : sessions_) {
        if (session->name() != subscription.name) {
            ++others;
        } else if (!session->has_ended() && session->node_id() != node) {
            return "another node follows as \"" + subscription.name +
                   "\": start each with a --replication-name of its own";
        }
    }
    // Those that are dead take their time, but not without a limit: who connects again and again finds a
    // place as long as a few of its own are ending.
    constexpr std::size_t ending_max = 8;
    if (others >= options_.followers_max ||
        sessions_.size() >=
            options_.followers_max + std::max<std::size_t>(options_.followers_max, ending_max)) {
        return "there are too many followers: --replication-followers-max is " +
               std::to_string(options_.followers_max);
    }
    for (const std::unique_ptr<Session>& session : sessions_) {
        if (session->name() == subscription.name) {
            session->stop();  // it has connected again: that one is dead, whether it knows or not
        }
    }
    return {};
}

/// Gives what is in the way: no thread is left, which is no reason to end the caller's. `failed` has the
/// connection then.
std::string Source::begin_session(std::unique_ptr<PeerStream>& stream, const std::string& address,
                                  net::Subscription subscription, std::unique_ptr<Session>& failed) {
    const std::size_t before = sessions_.size();
    try {
        sessions_.push_back(
            std::make_unique<Session>(*this, std::move(stream), address, std::move(subscription)));
        sessions_.back()->start();
        return {};
    } catch (const std::exception& failure) {
        if (sessions_.size() > before) {
            failed = std::move(sessions_.back());
            sessions_.pop_back();
        }
        return std::string("this node cannot serve another follower: ") + failure.what();
    }
}

void Source::note_accepted(const Session& session) {
    refusals_.forget(session.name());
    note_follower(session);
}

void Source::note_follower(const Session& session) {
    if (on_follower_) {
        on_follower_(session.node());
    }
}

// ---- what followers are told

std::vector<NodeId> Source::chain() const {
    std::vector<NodeId> ids;
    for (const NodeName& node : describe().life.chain) {
        ids.push_back(node.id);
    }
    return ids.empty() ? std::vector<NodeId>{database_.node_id()} : ids;
}

Life Source::life_for(const Session& session) const {
    Life life = describe().life;
    if (life.is_master()) {
        life.min_acks = options_.min_acks;
    }
    if (life.is_master() && session.is_counted()) {
        CountedList list = counted_.list();
        // In another generation it may be the list of another master.
        if (session.acked_lsn() >= list.told_from && session.generation() == database_.generation()) {
            life.counted = std::move(list);
        }
    }
    const std::lock_guard lock(mutex_);
    for (const std::unique_ptr<Session>& one : sessions_) {
        if (one.get() != &session && !one->has_ended() && life.others.size() < others_told_max) {
            life.others.push_back(one->node());
        }
    }
    return life;
}

std::vector<FollowerStatistics> Source::followers() const {
    std::vector<FollowerStatistics> all;
    const std::lock_guard lock(mutex_);
    for (const std::unique_ptr<Session>& session : sessions_) {
        if (!session->has_ended()) {
            all.push_back(session->statistics());
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

// ---- acknowledgements

bool Source::counts(const Session& session, std::uint64_t generation) const {
    return session.is_counted() && session.is_streaming() && !session.has_ended() && !session.is_stopping() &&
           session.generation() == generation;
}

bool Source::consider(const Session& session) {
    return options_.min_acks != 0 && session.is_streaming() && !session.is_stopping() && session.syncs() &&
           session.stores_lists() && session.node_id() != 0 &&
           session.generation() == database_.generation() && database_.role() == Role::master &&
           counted_.consider(session.node());
}

void Source::note_list_stored(const Session& session, const Epoch& epoch, std::uint64_t version) {
    if (session.is_counted() && counted_.confirm(session.node_id(), epoch, version)) {
        tell_lists();
    }
}

/// Each follower learns with its next heartbeat, which is now, whether it counts, and who else does.
void Source::tell_lists() {
    const std::lock_guard lock(mutex_);
    for (const std::unique_ptr<Session>& session : sessions_) {
        session->want_heartbeat();
    }
}

void Source::note_ended(const Session& session) {
    if (options_.min_acks != 0 && !session.is_counted() && session.generation() == database_.generation()) {
        counted_.withdraw(session.node_id());
    }
}

KnownNode Source::forget_follower(NodeId node, const std::string& name) {
    if (database_.role() != Role::master) {
        throw RequestError(ErrorCode::replication_error,
                           "This node is no master: ask the master, which counts followers");
    }
    {
        const std::lock_guard lock(mutex_);
        for (const std::unique_ptr<Session>& session : sessions_) {
            if (!session->has_ended() && (node != 0 ? session->node_id() == node : session->name() == name)) {
                throw RequestError(ErrorCode::validation_error,
                                   "Follower " + session->name() + " follows at this moment: stop it before");
            }
        }
    }
    KnownNode forgotten;
    {
        // It may have subscribed since: nothing that it acknowledges counts between its last event that did
        // and its end.
        const std::lock_guard acks(acks_mutex_);
        forgotten = counted_.forget(node, name, database_.durable_lsn());
        const std::lock_guard lock(mutex_);
        for (const std::unique_ptr<Session>& session : sessions_) {
            if (session->node_id() == forgotten.node.id) {
                session->stop();
            }
        }
    }
    log_.warning("follower_forgotten",
                 {{"follower", forgotten.node.name}, {"node_id", node_id_text(forgotten.node.id)}});
    tell_lists();
    return forgotten;
}

std::vector<CountedStatistics> Source::counted_statistics() const {
    const CountedList list = counted_.list();
    std::vector<CountedStatistics> all;
    if (database_.role() != Role::slave && list.master != database_.node_id()) {
        return all;  // of an earlier master
    }
    const std::lock_guard lock(mutex_);
    for (const CountedList::Member& member : list.members) {
        const bool is_there = std::ranges::any_of(sessions_, [&](const std::unique_ptr<Session>& session) {
            return session->node_id() == member.node.node.id && session->is_streaming() &&
                   !session->has_ended();
        });
        all.push_back({member.node.node.id, member.node.node.name, member.is_counted, is_there});
    }
    return all;
}

std::map<std::string, Lsn> Source::acked_lsns() const {
    std::map<std::string, Lsn> acked;
    const std::uint64_t generation = database_.generation();
    const std::lock_guard lock(mutex_);
    for (const std::unique_ptr<Session>& session : sessions_) {
        if (counts(*session, generation)) {
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
    const std::uint64_t generation = database_.generation();
    const std::map<std::string, Lsn> acked = acked_lsns();
    if (acked.size() < options_.min_acks) {
        return;
    }
    std::vector<Lsn> lsns;
    for (const auto& [name, lsn] : acked) {
        lsns.push_back(lsn);
    }
    std::ranges::sort(lsns, std::greater<>());
    database_.set_acked_lsn(lsns[options_.min_acks - 1], generation);
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

void Source::add_comparisons(ReplicationStatistics& statistics) const {
    const std::lock_guard lock(compared_mutex_);
    statistics.digests_compared += comparison_count_;
    statistics.digests_different += different_count_;
    if (!comparisons_.empty() && last_compared_unix_ >= statistics.last_compared_unix) {
        statistics.last_compared_unix = last_compared_unix_;
        statistics.last_compared_lsn = comparisons_.back().lsn;
    }
}

/// Why a follower that is there does not count.
std::string Source::why_not_counted(const Session& session) const {
    if (!session.syncs()) {
        return "it does not sync to a disk (--storage=memory or --wal-fsync=false)";
    }
    if (!session.stores_lists()) {
        return "it is of a version before this one, which makes no promises";
    }
    const CountedList list = counted_.list();
    if (list.find(session.node_id()) == nullptr && list.members.size() >= CountedFollowers::members_max) {
        return "there are " + std::to_string(CountedFollowers::members_max) +
               " counted followers already: take away those that are gone with replication.forget_follower";
    }
    std::string why = "it waits until all counted followers know of it";
    for (const CountedList::Member& member : list.members) {
        const bool is_there = std::ranges::any_of(sessions_, [&](const std::unique_ptr<Session>& one) {
            return one->node_id() == member.node.node.id && !one->has_ended();
        });
        if (member.is_counted && !is_there) {
            why += ", and " + member.node.node.name +
                   " is not there: start it, or, when it is gone for good, karma call "
                   "replication.forget_follower node_id=" +
                   node_id_text(member.node.node.id);
        }
    }
    return why;
}

std::string Source::acks_alarm() const {
    if (options_.min_acks == 0 || database_.role() != Role::master) {
        return {};
    }
    const std::size_t followers = acked_lsns().size();
    if (followers >= options_.min_acks) {
        return {};
    }
    std::string alarm = "writes wait for " + std::to_string(options_.min_acks) + " followers, " +
                        std::to_string(followers) + " are there";
    const std::lock_guard lock(mutex_);
    for (const std::unique_ptr<Session>& session : sessions_) {
        if (session->is_streaming() && !session->has_ended() && !session->is_counted()) {
            alarm += "; ";
            alarm += session->name();
            alarm += " does not count: ";
            alarm += why_not_counted(*session);
        }
    }
    return alarm;
}

std::string Source::alarm() const {
    if (std::string alarm = acks_alarm(); !alarm.empty()) {
        return alarm;
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
