#include "replica/node.h"

#include <algorithm>
#include <utility>

#include <boost/asio/ip/address.hpp>

#include "engine/error.h"
#include "engine/identity.h"
#include "net/address_text.h"
#include "replica/master_client.h"
#include "replica/second_opinion.h"

namespace karma::replica {
namespace {

constexpr const char* follows_nobody_text =
    "this node is a follower without a source: start it with --replication-source-host, or promote it";

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

Node::Node(Replicated& database, net::Log& log, NodeOptions options, const Ground& ground)
    : database_(database),
      log_(log),
      options_(std::move(options)),
      ground_(ground),
      peers_(database, log),
      source_(database, log, options_.source, ground) {
    source_.describe_node([this] { return describe_self(); });
    source_.on_follower([this](const KnownNode& follower) { peers_.note(follower); });
}

Node::~Node() { stop(); }

void Node::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        interrupted_ = true;
        changed_->notify_all();
    }
    thread_.reset();
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
            ground_);
    }
    if (database_.role() == Role::master) {
        if (options_.follower) {
            log_.warning("was_promoted",
                         {{"epoch", last_epoch(database_.epochs()).number},
                          {"message",
                           "this node was promoted and stays master, whatever --role says, until it meets a "
                           "later epoch"}});
        }
        announce_later();
    } else if (follower_ && database_.role() == Role::slave) {
        follower_->start();
    } else if (!follower_ && database_.role() == Role::slave) {
        log_.warning("follows_nobody", {{"message", follows_nobody_text}});
    }
    thread_ = ground_.runtime.start_thread([this] { run(); });
}

void Node::run() {
    constexpr auto between_min = std::chrono::milliseconds(1000);
    constexpr auto between_max = std::chrono::milliseconds(30'000);
    auto between = between_min;
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
        if (announces_) {
            interrupted_ = false;
            lock.unlock();
            const bool is_known = announce();
            lock.lock();
            announces_ = announces_ && !is_known;
            between = std::min(between * 2, between_max);
        }
        if (stopping_ || master_lost_ || fenced_) {
            continue;
        }
        if (announces_) {
            changed_->wait(lock, between);
        } else {
            between = between_min;
            changed_->wait(lock);
        }
    }
}

// ---- roles

Epoch Node::promote() {
    const RoleChange change(*this);
    if (database_.role() != Role::slave) {
        throw RequestError(ErrorCode::validation_error, "This node is not a slave: it cannot be promoted");
    }
    if (follower_ && follower_->has_nothing()) {
        throw RequestError(ErrorCode::replication_error,
                           "This node has not got its master's state yet: promoted, it would be empty");
    }
    if (follower_) {
        // Those that the source has told of may be promoted as well: they are told which epoch there is.
        if (const SourceWatch watched = follower_->watched(); watched.life()) {
            for (const KnownNode& other : reachable(watched.life()->others)) {
                peers_.note(other);
            }
        }
        follower_->stop();
    }
    Epoch epoch;
    try {
        epoch = database_.promote();
    } catch (...) {
        if (follower_) {
            follower_->start();
        }
        throw;
    }
    log_.warning("promoted", {{"epoch", epoch.number}, {"lsn", epoch.first_lsn}});
    announce_later();
    return epoch;
}

void Node::fail_over() {
    const SourceWatch watched = follower_->watched();
    {
        const std::lock_guard lock(mutex_);
        interrupted_ = stopping_.load();
    }
    if (!may_fail_over(watched) || !follower_->has_lost_master()) {
        return;
    }
    log_.warning("failing_over", {{"master", follower_->source()},
                                  {"failover_timeout_ms", options_.follower->failover_timeout.count()}});
    try {
        promote();
    } catch (const std::exception& failure) {
        log_.error("failover_failed", {{"message", failure.what()}});
    }
}

bool Node::may_fail_over(const SourceWatch& watched) {
    std::string why = "no other follower that hears the master by itself is known";
    bool may = options_.failover_unsafe || (watched.life() && watched.life()->is_needed);
    bool is_refused = false;
    if (!may && watched.life()) {
        const Witness witness{database_.node_id(), watched.life()->chain, database_.durable_lsn(),
                              options_.follower->failover_timeout};
        constexpr auto timeout = std::chrono::milliseconds(1000);
        for (const KnownNode& other : reachable(watched.life()->others)) {
            try {
                MasterClient client(ground_.network, {other.host, other.port, timeout, &interrupted_},
                                    options_.peer_token);
                const Opinion opinion = opinion_of(client.ask("replication.status"), witness);
                why = other.node.name + ": " + opinion.why;
                may = may || opinion.verdict == Opinion::Verdict::agrees;
                is_refused = is_refused || opinion.verdict == Opinion::Verdict::objects;
            } catch (const std::exception& failure) {
                why = other.node.name + ": " + failure.what();
            }
            if (is_refused || interrupted_) {
                break;
            }
        }
    }
    may = may && !is_refused && !interrupted_;
    const std::string alarm =
        may ? std::string() : "the master is silent, and this node does not take its place: " + why;
    std::unique_lock lock(mutex_);
    const bool is_news = failover_alarm_.empty() && !may;
    failover_alarm_ = alarm;
    lock.unlock();
    if (is_news) {
        log_.warning("no_failover", {{"master", follower_->source()}, {"message", alarm}});
    }
    return may;
}

/// A source tells where it sees its followers. Those that it sees on its own machine are there.
std::vector<KnownNode> Node::reachable(std::vector<KnownNode> nodes) const {
    std::erase_if(nodes, [](const KnownNode& node) { return node.host.empty() || node.port == 0; });
    for (KnownNode& node : nodes) {
        boost::system::error_code failure;
        const auto address = boost::asio::ip::make_address(node.host, failure);
        if (!failure && address.is_loopback()) {
            node.host = options_.follower->host;
        }
    }
    return nodes;
}

void Node::on_fenced() {
    const std::lock_guard lock(mutex_);
    fenced_ = true;
    announces_ = false;
    interrupted_ = true;
    changed_->notify_all();
}

/// A node that was promoted and has met a later epoch goes back to what it was told to be.
void Node::follow_again() {
    const RoleChange change(*this);
    if (database_.role() != Role::fenced) {
        return;
    }
    log_.error("fenced", {{"epoch", last_epoch(database_.epochs()).number},
                          {"message", "a later epoch has begun on another node: no more writes are taken"}});
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

// ---- announcements

/// To every node that is known, whatever the options of this one: one that was master, or was promoted at the
/// same time, learns so that there is a later epoch.
void Node::announce_later() {
    if (database_.epochs().empty()) {
        return;
    }
    const std::lock_guard lock(mutex_);
    announces_ = true;
    told_.clear();
    changed_->notify_all();
}

/// True when every node knows, or there is nothing to be told any more.
bool Node::announce() {
    const Epochs epochs = database_.epochs();
    if (database_.role() != Role::master || epochs.empty()) {
        return true;
    }
    bool is_known = true;
    for (const KnownNode& peer : peers_.all()) {
        if (interrupted_) {
            return false;
        }
        if (std::ranges::find(told_, peer) != told_.end()) {
            continue;
        }
        if (announce_to(peer, epochs.back())) {
            told_.push_back(peer);
        } else {
            is_known = false;
        }
    }
    return is_known;
}

/// True when it knows, or never will.
bool Node::announce_to(const KnownNode& peer, const Epoch& epoch) {
    constexpr auto timeout = std::chrono::milliseconds(1000);
    const std::string address = net::address_text(peer.host, peer.port);
    try {
        MasterClient client(ground_.network, {peer.host, peer.port, timeout, &interrupted_},
                            options_.peer_token);
        const boost::json::value answer =
            client.ask("replication.fence", {{"epoch", epoch.number},
                                             {"epoch_id", epoch.id},
                                             {"database_id", database_.database_id().text()}});
        // It may have been promoted as well, and be the one that stays.
        database_.fence({answer.at("epoch").to_number<std::uint64_t>(),
                         answer.at("epoch_id").to_number<std::uint64_t>(), 0});
        log_.info("epoch_announced", {{"address", address}, {"epoch", epoch.number}});
        return true;
    } catch (const RefusedError& refused) {
        log_.error("epoch_refused", {{"address", address},
                                     {"message", refused.what()},
                                     {"advice", "see to it that it takes no writes"}});
        return true;
    } catch (const std::exception&) {
        return false;  // it is not there: tried again
    }
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
        const SourceWatch watched = follower_->watched();
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
    if (role != Role::slave) {
        life.role = role == Role::master ? "master" : "fenced";
        life.master_heard = std::chrono::milliseconds(0);
        if (role == Role::fenced) {
            life.master_heard.reset();
            life.doubt = "is fenced: a later epoch has begun on another node";
            self.refusal = "fenced: a later epoch than this node's has begun on another node";
        }
        return self;
    }
    life.role = "slave";
    if (!follower_) {
        life.doubt = "follows nobody";
        return self;
    }
    const SourceWatch watched = follower_->watched();
    const Clock::time_point now = ground_.runtime.now();
    life.master_heard = watched.since_master(now);
    if (follower_->has_nothing()) {
        self.refusal = "empty: this node has not got its source's state yet";
    } else if (follower_->has_diverged()) {
        self.refusal = "diverged: this node has events that its source has not";
    }
    if (const std::string doubt = follower_->doubt(); !doubt.empty()) {
        life.doubt = "is no way to a master: " + doubt;
    }
    return self;
}

std::optional<Life> Node::heard() const { return follower_ ? follower_->watched().life() : std::nullopt; }

ReplicationFigures Node::figures() const {
    ReplicationFigures figures;
    if (follower_) {
        figures = follower_->figures();
    }
    if (database_.role() != Role::slave) {
        figures.is_lag_known = true;  // there is nobody to be behind
    }
    figures.chain = chain_text(chain());
    figures.followers = source_.followers();
    figures.bytes_sent = source_.bytes_sent();
    figures.min_acks = options_.source.min_acks;
    source_.add_comparisons(figures);
    return figures;
}

std::string Node::alarm() const {
    if (database_.role() == Role::slave) {
        if (!follower_) {
            return follows_nobody_text;
        }
        {
            const std::lock_guard lock(mutex_);
            if (!failover_alarm_.empty() && follower_->has_lost_master()) {
                return failover_alarm_;
            }
        }
        if (std::string alarm = follower_->alarm(); !alarm.empty()) {
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
