#include "replica/announcer.h"

#include <algorithm>
#include <utility>

#include "engine/identity.h"
#include "net/address_text.h"
#include "replica/json_fields.h"
#include "replica/master_client.h"

namespace karma::replica {

namespace json = boost::json;

Announcer::Announcer(Replicated& database, net::Log& log, Peers& peers, const Ground& ground,
                     std::string token)
    : database_(database), log_(log), peers_(peers), ground_(ground), token_(std::move(token)) {}

Announcer::~Announcer() { stop(); }

void Announcer::start(KnownNode self) {
    self_ = std::move(self);
    thread_ = ground_.runtime.start_thread([this] { run(); });
}

void Announcer::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        interrupted_ = true;
        changed_->notify_all();
    }
    thread_.reset();
}

void Announcer::on_epoch() {
    const std::lock_guard lock(mutex_);
    has_news_ = true;
    interrupted_ = true;
    changed_->notify_all();
}

void Announcer::on_peer() {
    const std::lock_guard lock(mutex_);
    has_news_ = true;
    changed_->notify_all();
}

void Announcer::run() {
    constexpr auto between_min = std::chrono::milliseconds(1000);
    constexpr auto between_max = std::chrono::milliseconds(30'000);
    auto between = between_min;
    std::unique_lock lock(mutex_);
    while (!stopping_) {
        has_news_ = false;
        interrupted_ = false;
        lock.unlock();
        const bool is_known = tell_all();
        lock.lock();
        if (stopping_ || has_news_) {
            between = between_min;
        } else if (is_known) {
            between = between_min;
            changed_->wait(lock);
        } else {
            changed_->wait(lock, between);
            between = std::min(between * 2, between_max);
        }
    }
}

/// True when every node knows, or there is nothing to be told.
bool Announcer::tell_all() {
    const Epoch epoch = database_.known_epoch();
    if (epoch.number == 0) {
        return true;
    }
    if (!database_.database_id().is_known() && database_.is_empty()) {
        return false;  // an epoch of its source: whether a peer is of that database cannot be told yet
    }
    if (!epoch.is_same_as(told_epoch_)) {
        told_epoch_ = epoch;
        told_.clear();
    }
    std::vector<KnownNode> peers = peers_.all();
    std::erase_if(told_, [&](const KnownNode& one) { return std::ranges::find(peers, one) == peers.end(); });
    bool is_known = true;
    // The latest first: of those before some are not there any more.
    std::ranges::reverse(peers);
    for (const KnownNode& peer : peers) {
        if (interrupted_) {
            return false;
        }
        if (std::ranges::find(told_, peer) != told_.end()) {
            continue;
        }
        if (tell(peer, epoch)) {
            told_.push_back(peer);
        } else {
            is_known = false;
        }
    }
    return is_known;
}

/// As others can ask it; without a port where it is not known.
KnownNode Announcer::beginner_of(const Epoch& epoch) const {
    const Epoch own = last_epoch(database_.epochs());
    if (own.is_same_as(epoch) && own.node == database_.node_id()) {
        return self_;
    }
    KnownNode beginner = peers_.beginner_of(epoch).value_or(KnownNode());
    if (is_loopback(beginner.host)) {
        beginner.host.clear();  // it is where this node is, which the other one sees
    }
    return beginner;
}

/// True when it knows, or never will.
bool Announcer::tell(const KnownNode& peer, const Epoch& epoch) {
    constexpr auto timeout = std::chrono::milliseconds(1000);
    const std::string address = net::address_text(peer.host, peer.port);
    const KnownNode beginner = beginner_of(epoch);
    // A state may take the place of another database meanwhile: an epoch goes with the id that it was known
    // in.
    const DatabaseId database = database_.database_id();
    if (!epoch.is_same_as(database_.known_epoch())) {
        return false;
    }
    json::object fields{{"epoch", epoch.number}, {"epoch_id", epoch.id}, {"database_id", database.text()}};
    if (beginner.port != 0) {
        fields["node_id"] = node_id_text(beginner.node.id);
        fields["name"] = beginner.node.name;
        fields["port"] = beginner.port;
        if (!beginner.host.empty()) {
            fields["host"] = beginner.host;
        }
    }
    try {
        MasterClient client(ground_.network, {peer.host, peer.port, timeout, &interrupted_}, token_);
        const json::value answer = client.ask("replication.fence", std::move(fields));
        const JsonFields latest(answer);
        database_.fence({latest.number("epoch"), latest.number("epoch_id"), 0}, database);
        log_.info("epoch_announced", {{"address", address}, {"epoch", epoch.number}});
        return true;
    } catch (const RefusedError& refused) {
        if (database_.role() == Role::master) {
            log_.error("epoch_refused", {{"address", address},
                                         {"message", refused.what()},
                                         {"advice", "see to it that it takes no writes"}});
        }
        return true;
    } catch (const std::exception&) {
        return false;  // it is not there: tried again
    }
}

}  // namespace karma::replica
