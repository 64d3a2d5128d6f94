#include "replica/node.h"

#include <utility>

#include "engine/error.h"
#include "replica/master_client.h"

namespace karma::replica {

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
      source_(database, log, options_.source, ground) {}

Node::~Node() { stop(); }

void Node::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        changed_->notify_all();
    }
    thread_.reset();
    if (follower_) {
        follower_->stop();
    }
    source_.stop();
}

void Node::start(const std::string& name) {
    if (options_.follower) {
        FollowerOptions options = *options_.follower;
        if (options.name.empty()) {
            options.name = name;
        }
        follower_ = std::make_unique<Follower>(
            database_, log_, std::move(options),
            [this] {
                const std::lock_guard lock(mutex_);
                master_lost_ = true;
                changed_->notify_all();
            },
            ground_);
        if (database_.role() == Role::slave) {
            follower_->start();
        } else if (database_.role() == Role::master) {
            log_.warning("was_promoted",
                         {{"epoch", last_epoch(database_.epochs()).number},
                          {"message",
                           "this node was promoted and stays master, whatever --role says, until it meets a "
                           "later epoch"}});
            announces_ = true;
        }
    }
    thread_ = ground_.runtime.start_thread([this] { run(); });
}

void Node::run() {
    constexpr auto between = std::chrono::milliseconds(1000);
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
            lock.unlock();
            const bool is_known = announce();
            lock.lock();
            announces_ = announces_ && !is_known;
        }
        if (stopping_ || master_lost_ || fenced_) {
            continue;
        }
        if (announces_) {
            changed_->wait(lock, between);
        } else {
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
    const std::lock_guard lock(mutex_);
    announces_ = follower_ != nullptr;
    changed_->notify_all();
    return epoch;
}

void Node::fail_over() {
    log_.warning("failing_over", {{"master", follower_->source()},
                                  {"failover_timeout_ms", options_.follower->failover_timeout.count()}});
    try {
        promote();
    } catch (const std::exception& failure) {
        log_.error("failover_failed", {{"message", failure.what()}});
    }
}

void Node::on_fenced() {
    const std::lock_guard lock(mutex_);
    fenced_ = true;
    announces_ = false;
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
    if (follower_) {
        database_.demote();
        follower_->start();
    }
}

/// Tells the master that was followed that it is none any more. True when it knows, or never will.
bool Node::announce() {
    const Epochs epochs = database_.epochs();
    if (database_.role() != Role::master || epochs.empty()) {
        return true;
    }
    constexpr auto timeout = std::chrono::milliseconds(1000);
    const FollowerOptions& options = *options_.follower;
    try {
        MasterClient client(ground_.network, {options.host, options.port, timeout, &stopping_},
                            options.token);
        const boost::json::value answer = client.ask(
            "replication.fence", {{"epoch", epochs.back().number}, {"epoch_id", epochs.back().id}});
        // It may have been promoted as well, and be the one that stays.
        database_.fence({answer.at("epoch").to_number<std::uint64_t>(),
                         answer.at("epoch_id").to_number<std::uint64_t>(), 0});
        log_.info("former_master_knows", {{"address", follower_->source()}});
        return true;
    } catch (const RefusedError& refused) {
        log_.error("former_master_refuses", {{"address", follower_->source()},
                                             {"message", refused.what()},
                                             {"advice", "see to it that it takes no more writes"}});
        return true;
    } catch (const std::exception&) {
        return false;  // it is not there: tried again
    }
}

// ---- what is shown

ReplicationFigures Node::figures() const {
    ReplicationFigures figures;
    if (follower_) {
        figures = follower_->figures();
    }
    figures.followers = source_.followers();
    figures.bytes_sent = source_.bytes_sent();
    source_.add_comparisons(figures);
    return figures;
}

std::string Node::alarm() const {
    if (follower_ && database_.role() == Role::slave) {
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
