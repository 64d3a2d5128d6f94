#include "replica/announcer.h"

#include <algorithm>
#include <utility>

#include "engine/identity.h"
#include "net/address_text.h"
#include "replica/json_fields.h"
#include "replica/master_client.h"

namespace karma::replica {

namespace json = boost::json;

namespace {

constexpr auto wait_min = std::chrono::milliseconds(1000);

}  // namespace

Announcer::Announcer(Replicated& database, net::Log& log, Peers& peers, const Environment& environment,
                     std::string token)
    : database_(database), log_(log), peers_(peers), environment_(environment), token_(std::move(token)) {}

Announcer::~Announcer() { stop(); }

void Announcer::start(KnownNode self) {
    self_ = std::move(self);
    thread_ = environment_.runtime.start_thread([this] { run(); });
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
    std::unique_lock lock(mutex_);
    while (!stopping_) {
        has_news_ = false;
        interrupted_ = false;
        lock.unlock();
        const std::optional<Clock::time_point> next = tell_all();
        lock.lock();
        if (stopping_ || has_news_) {
            continue;
        }
        if (!next) {
            changed_->wait(lock);
            continue;
        }
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - environment_.runtime.now());
        if (left.count() > 0) {
            changed_->wait(lock, left);
        }
    }
}

/// When the next one has to be told; nothing when every node knows, or there is nothing to be told.
std::optional<Clock::time_point> Announcer::tell_all() {
    const Epoch epoch = database_.known_epoch();
    if (epoch.number == 0) {
        return std::nullopt;
    }
    if (!epoch.is_same_as(told_epoch_)) {
        told_epoch_ = epoch;
        told_.clear();
    }
    follow_peers(peers_.all());
    std::optional<Clock::time_point> next;
    for (Told& told : told_) {
        if (interrupted_) {
            return environment_.runtime.now();
        }
        if (!told.knows && told.next <= environment_.runtime.now()) {
            told.knows = tell(told.peer, epoch);
            if (!told.knows && !interrupted_) {
                tell_later(told, epoch);
            }
        }
        if (!told.knows) {
            next = std::min(next.value_or(told.next), told.next);
        }
    }
    return next;
}

/// Those that are new are told at once.
void Announcer::follow_peers(std::vector<KnownNode> peers) {
    std::vector<Told> told;
    for (KnownNode& peer : peers) {
        const auto before =
            std::ranges::find_if(told_, [&](const Told& other) { return other.peer == peer; });
        if (before != told_.end()) {
            told.push_back(*before);
        } else {
            told.push_back({std::move(peer), false, {}, environment_.runtime.now()});
        }
    }
    told_ = std::move(told);
}

void Announcer::tell_later(Told& told, const Epoch& epoch) {
    const bool was_logged = told.wait >= wait_logged;
    told.wait = std::clamp<std::chrono::milliseconds>(told.wait * 2, wait_min, wait_max);
    told.next = environment_.runtime.now() + told.wait;
    if (told.wait >= wait_logged && !was_logged) {
        log_.warning("epoch_not_announced",
                     {{"address", net::address_text(told.peer.host, told.peer.port)},
                      {"node", told.peer.node.name},
                      {"epoch", epoch.number},
                      {"message",
                       "this node does not answer, and may not know of the latest epoch: it is asked again "
                       "every " +
                           std::to_string(wait_max.count()) + " minutes at least"},
                      {"advice", "where it was a master, see to it that it takes no writes"}});
    }
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
        MasterClient client(environment_.network, {peer.host, peer.port, timeout, &interrupted_}, token_);
        const json::value answer = client.ask("replication.fence", std::move(fields));
        const JsonFields fields_of_answer(answer);
        const Epoch latest{fields_of_answer.number("epoch"), fields_of_answer.number("epoch_id"), 0};
        database_.fence(latest, database);
        if (epoch.is_later_than(latest)) {
            return false;  // it holds no database yet, and takes note of no epoch
        }
        log_.info("epoch_announced", {{"address", address}, {"epoch", epoch.number}});
        return true;
    } catch (const RefusedError& refused) {
        if (refused.code() == "internal_error") {
            return false;  // it cannot store the epoch, and is master again after a restart
        }
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
