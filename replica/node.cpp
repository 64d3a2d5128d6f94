#include "replica/node.h"

#include <algorithm>
#include <utility>

#include "engine/error.h"
#include "engine/identity.h"

namespace karma::replica {
namespace {

constexpr const char* follows_nobody_text =
    "this node is a follower without a source: start it with --replication-source-host, or promote it";

std::string names_text(const std::vector<std::string>& names) {
    std::string text;
    for (const std::string& name : names) {
        text += text.empty() ? "" : ", ";
        text += name;
    }
    return text;
}

}  // namespace

/// Keeps others from changing the node's role.
class Node::RoleChange {
public:
    explicit RoleChange(Node& node) : node_(node) {
        std::unique_lock lock(node_.mutex_);
        while (node_.changes_role_) {
            node_.changed_->wait(lock);
        }
        node_.changes_role_ = true;
    }
    RoleChange(const RoleChange&) = delete;
    RoleChange& operator=(const RoleChange&) = delete;
    ~RoleChange() {
        const std::lock_guard lock(node_.mutex_);
        node_.changes_role_ = false;
        node_.changed_->notify_all();
    }

private:
    Node& node_;
};

Node::Node(Replicated& database, net::Log& log, NodeOptions options, const Environment& environment)
    : database_(database),
      log_(log),
      options_(std::move(options)),
      environment_(environment),
      peers_(database, log),
      announcer_(database, log, peers_, environment, options_.peer_token),
      source_(database, log, options_.source, environment) {
    source_.describe_node([this] { return describe_self(); });
    peers_.on_change([this] { announcer_.on_peer(); });
    peers_.on_whether_counted([this](NodeId node) { return source_.counted().list().find(node) != nullptr; });
    source_.on_follower([this](const KnownNode& follower) { peers_.note(follower); });
}

Node::~Node() { stop(); }

void Node::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        changed_->notify_all();
    }
    thread_.reset();
    announcer_.stop();
    if (follower_) {
        follower_->stop();
    }
    source_.stop();
}

void Node::start(const std::string& name, std::uint16_t port) {
    {
        const std::lock_guard lock(mutex_);
        name_ = options_.follower && !options_.follower->name.empty() ? options_.follower->name : name;
    }
    if (options_.follower) {
        FollowerOptions options = *options_.follower;
        options.name = name_;
        options.own_port = port;
        peers_.note({{}, options.host, options.port});
        follower_ = std::make_unique<Follower>(
            database_, log_, std::move(options),
            [this] {
                const std::lock_guard lock(mutex_);
                master_lost_ = true;
                changed_->notify_all();
            },
            environment_, &source_.counted(), &peers_);
    }
    announcer_.start({{database_.node_id(), name_}, {}, port});
    if (database_.role() == Role::master) {
        if (options_.follower) {
            log_.warning("was_promoted",
                         {{"epoch", last_epoch(database_.epochs()).number},
                          {"message",
                           "this node was promoted and stays master, whatever --role says, until it meets a "
                           "later epoch"}});
        }
    } else if (follower_ && database_.role() == Role::slave) {
        follower_->start();
    } else if (!follower_ && database_.role() == Role::slave) {
        log_.warning("follows_nobody", {{"message", follows_nobody_text}});
    }
    thread_ = environment_.runtime.start_thread([this] { run(); });
}

void Node::run() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
        if (std::exchange(master_lost_, false)) {
            lock.unlock();
            fail_over();
            lock.lock();
        }
        if (std::exchange(fenced_, false)) {
            lock.unlock();
            follow_again();
            lock.lock();
        }
        if (!stopping_ && !master_lost_ && !fenced_) {
            changed_->wait(lock);
        }
    }
}

// ---- roles

reply::Promoted Node::promote(bool is_forced) {
    const RoleChange change(*this);
    return become_master(is_forced ? Ballot::forced : Ballot::ordered);
}

void Node::check_may_be_promoted(Ballot ballot) const {
    const Role role = database_.role();
    if (role == Role::master) {
        throw RequestError(ErrorCode::validation_error, "This node is a master already");
    }
    if (role == Role::fenced && ballot != Ballot::forced) {
        throw RequestError(ErrorCode::validation_error,
                           "This node is fenced: another one has begun a later epoch. Start it as a follower "
                           "of that one (--role=slave), or, where that one is gone for good or was promoted "
                           "by mistake, make this node master with force (karma promote --force)");
    }
    if (!follower_ || role != Role::slave) {
        return;
    }
    if (follower_->status().has_nothing()) {
        throw RequestError(ErrorCode::replication_error,
                           "This node has not got its master's state yet: promoted, it would be empty");
    }
    if (follower_->status().installs_state() ||
        (ballot != Ballot::forced && follower_->status().takes_state())) {
        throw RequestError(ErrorCode::replication_error,
                           "This node is taking its source's state, which replaces what it has: try again "
                           "when it has it");
    }
}

Candidate Node::candidate() {
    return {database_,           log_,
            environment_,        *options_.follower,
            options_.peer_token, source_.counted(),
            follower_->status(), stopping_};
}

reply::Promoted Node::become_master(Ballot ballot) {
    check_may_be_promoted(ballot);
    std::optional<Election> election;
    if (follower_) {
        election.emplace(candidate(), ballot);
    }
    const bool asks = election && election->has_voters();
    if (asks) {
        // Before an epoch is drawn: one that is asked for and not begun would fence the master.
        election->ask(std::nullopt);
    }
    if (follower_) {
        follower_->stop();
    }
    reply::Promoted promoted;
    try {
        const Epoch epoch = database_.draw_epoch();
        if (asks) {
            database_.fence(epoch, database_.database_id());
            promoted.without_promise = election->ask(epoch);
        }
        promoted.epoch = database_.promote(epoch);
    } catch (...) {
        if (follower_ && database_.role() == Role::slave) {
            follower_->start();
        }
        throw;
    }
    log_.warning("promoted", {{"epoch", promoted.epoch.number},
                              {"lsn", promoted.epoch.first_lsn},
                              {"without_promise", names_text(promoted.without_promise)}});
    announcer_.on_epoch();
    return promoted;
}

void Node::fail_over() {
    const RoleChange change(*this);
    if (database_.role() != Role::slave || !follower_->status().has_lost_master()) {
        return;
    }
    try {
        become_master(options_.failover_unsafe ? Ballot::unsafe : Ballot::failover);
        log_.warning("failed_over", {{"master", follower_->source()},
                                     {"failover_timeout_ms", options_.follower->failover_timeout.count()}});
        set_failover_alarm("");
    } catch (const std::exception& failure) {
        set_failover_alarm(failure.what());
    }
}

void Node::set_failover_alarm(const std::string& why) {
    const std::string alarm =
        why.empty() ? why : "the master is silent, and this node does not take its place: " + why;
    {
        const std::lock_guard lock(mutex_);
        if (!failover_alarm_.empty() || why.empty()) {
            failover_alarm_ = alarm;
            return;
        }
        failover_alarm_ = alarm;
    }
    log_.warning("no_failover", {{"master", follower_->source()}, {"message", alarm}});
}

// ---- promises

std::string Node::why_no_promise(const control::Promise& asked) const {
    if (database_.role() != Role::slave) {
        return database_.role() == Role::master ? "it is a master" : "it is fenced";
    }
    if (asked.is_ordered || !follower_) {
        return {};
    }
    // It may hear the master over others, once a second each.
    constexpr std::chrono::milliseconds heard_within_min(3000);
    constexpr std::uint64_t silence_ms_max = 1'000'000'000;
    const std::chrono::milliseconds silence(std::min(asked.silence_ms, silence_ms_max));
    const auto limit = std::min(std::max(silence, heard_within_min), options_.follower->timeout);
    const auto heard = follower_->status().watched().since_master(environment_.runtime.now());
    if (heard && *heard < limit) {
        return "it has heard the master";
    }
    const CountedList list = source_.counted().list();
    if (list.is_of(last_epoch(database_.epochs())) && list.counts(database_.node_id()) &&
        list.find(asked.node_id) == nullptr) {
        return "the one that asks is none of the counted followers any more";
    }
    return {};
}

/// Who holds no database yet has nothing to promise: it may get another one than the one that is meant.
void Node::check_is_of_this_database(const DatabaseId& database) const {
    const DatabaseId own = database_.database_id();
    if (are_strangers(database, own)) {
        throw RequestError(ErrorCode::replication_error,
                           "This node holds another database: " + own.text() + ", not " + database.text());
    }
    if (!own.is_known() && database.is_known() && database_.is_empty()) {
        throw RequestError(ErrorCode::replication_error, "This node holds no database yet");
    }
}

reply::PromiseAnswer Node::promise(const control::Promise& asked) {
    const std::lock_guard promising(promise_mutex_);
    const Epoch wanted{asked.epoch, asked.epoch_id, 0};
    reply::PromiseAnswer answer;
    check_is_of_this_database(asked.database_id);
    answer.why_not = why_no_promise(asked);
    if (answer.why_not.empty() && wanted.number != 0) {
        // It may have heard of this very epoch before: from one that has promised already.
        database_.fence(wanted, asked.database_id);
        if (const Epoch known = database_.known_epoch(); known.is_later_than(wanted)) {
            answer.why_not = "it knows a later epoch";
        } else if (!known.is_same_as(wanted)) {
            answer.why_not = "it holds no database yet";
        }
        if (answer.why_not.empty() && follower_) {
            follower_->leave_overtaken_source();
        }
    }
    answer.is_given = answer.why_not.empty();
    answer.node_id = database_.node_id();
    answer.known_epoch = database_.known_epoch();
    answer.last_epoch = last_epoch(database_.epochs());
    answer.lsn = database_.durable_lsn();
    if (wanted.number != 0) {
        log_.info("promise_asked", {{"epoch", wanted.number},
                                    {"node_id", node_id_text(asked.node_id)},
                                    {"given", answer.is_given},
                                    {"message", answer.why_not}});
    }
    return answer;
}

reply::FollowerForgotten Node::forget_follower(NodeId node, const std::string& name) {
    const KnownNode forgotten = source_.forget_follower(node, name);
    return {forgotten.node.id, forgotten.node.name};
}

void Node::on_fenced() {
    announcer_.on_epoch();
    const std::lock_guard lock(mutex_);
    fenced_ = true;
    changed_->notify_all();
}

void Node::note_announcement(const control::Fence& named) {
    const KnownNode beginner{{named.node_id, std::string(named.name)}, std::string(named.host), named.port};
    peers_.note_beginner(beginner, {named.number, named.id, 0});
}

/// A node that was promoted and has met a later epoch goes back to what it was told to be.
void Node::follow_again() {
    const RoleChange change(*this);
    if (database_.role() != Role::fenced) {
        return;
    }
    log_.error("fenced",
               {{"epoch", last_epoch(database_.epochs()).number},
                {"message", "a later epoch has begun on another node: no more writes are taken"},
                {"advice", follower_ ? "it follows again"
                                     : "start it as a follower of that one (--role=slave), or, where "
                                       "that one is gone for good, karma promote --force"}});
    if (!follower_) {
        return;
    }
    try {
        database_.demote();
    } catch (const std::exception& failure) {
        log_.error("demotion_failed", {{"message", failure.what()}});
        return;
    }
    follower_->start();
}

// ---- what is shown

/// Asked by the database under its lock: asks it for nothing that takes that.
std::vector<NodeName> Node::chain() const {
    std::vector<NodeName> chain;
    {
        const std::lock_guard lock(mutex_);
        chain.push_back({database_.node_id(), name_});
    }
    if (follower_ && database_.role() == Role::slave) {
        const SourceWatch watched = follower_->status().watched();
        if (watched.life()) {
            chain.insert(chain.end(), watched.life()->chain.begin(), watched.life()->chain.end());
        }
    }
    return chain;
}

SelfDescription Node::describe_self() const {
    SelfDescription self;
    Life& life = self.life;
    const Role role = database_.role();
    life.known_epoch = database_.known_epoch();
    life.chain = chain();
    life.peers = peers_.all();
    if (database_.has_failed()) {
        life.failure =
            "node " + life.chain.front().name + " has failed: it can make nothing durable any more";
    }
    if (role != Role::slave) {
        life.role = role_text(role);
        life.master_heard = std::chrono::milliseconds(0);
        if (role == Role::fenced) {
            life.master_heard.reset();
            life.doubt = "is fenced: a later epoch has begun on another node";
            self.refusal = "fenced: a later epoch than this node's has begun on another node";
        }
        return self;
    }
    life.role = role_text(role);
    if (!follower_) {
        life.doubt = "follows nobody";
        return self;
    }
    const SourceWatch watched = follower_->status().watched();
    const Clock::time_point now = environment_.runtime.now();
    life.master_heard = watched.since_master(now);
    if (watched.life()) {
        life.min_acks = watched.life()->min_acks;
        if (life.failure.empty()) {
            life.failure = watched.life()->failure;
        }
    }
    if (follower_->status().has_nothing()) {
        self.refusal = "empty: this node has not got its source's state yet";
    } else if (follower_->status().has_diverged()) {
        self.refusal = "diverged: this node has events that its source has not";
    }
    if (const std::string doubt = follower_->status().doubt(); !doubt.empty()) {
        life.doubt = "is no way to a master: " + doubt;
    }
    return self;
}

std::optional<Life> Node::heard() const {
    return follower_ ? follower_->status().watched().life() : std::nullopt;
}

ReplicationStatistics Node::statistics() const {
    ReplicationStatistics statistics;
    if (follower_) {
        statistics = follower_->status().statistics();
    }
    if (database_.role() != Role::slave) {
        statistics.is_lag_known = true;  // there is nobody to be behind
    }
    statistics.chain = chain_text(chain());
    statistics.followers = source_.followers();
    statistics.counted = source_.counted_statistics();
    statistics.bytes_sent = source_.bytes_sent();
    statistics.min_acks = options_.source.min_acks;
    source_.add_comparisons(statistics);
    return statistics;
}

std::string Node::alarm() const {
    if (database_.role() == Role::slave) {
        if (!follower_) {
            return follows_nobody_text;
        }
        {
            const std::lock_guard lock(mutex_);
            if (!failover_alarm_.empty() && follower_->status().has_lost_master()) {
                return failover_alarm_;
            }
        }
        if (std::string alarm = follower_->status().alarm(); !alarm.empty()) {
            return alarm;
        }
    }
    return source_.alarm();
}

reply::DigestsCompared Node::compare_digests(const Deadline& deadline) {
    if (follower_ && database_.role() == Role::slave) {
        return follower_->compare(deadline);
    }
    return source_.compare(deadline);
}

}  // namespace karma::replica
