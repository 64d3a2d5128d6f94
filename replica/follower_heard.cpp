#include <algorithm>
#include <utility>

#include "engine/error.h"
#include "replica/follower.h"
#include "replica/follower_connection.h"

/// What a follower hears of its source, and says to it meanwhile.
namespace karma::replica {
namespace {

/// How often it says how much it has received, while it receives.
constexpr auto alive_interval = std::chrono::milliseconds(100);

}  // namespace

bool Follower::has_lost_master() const {
    if (options_.failover_timeout.count() == 0) {
        return false;
    }
    const std::lock_guard lock(mutex_);
    return watch_.was_lost_in_sync(now(), options_.failover_timeout) && comparison_.difference.empty();
}

void Follower::forget_sync() {
    const std::lock_guard lock(mutex_);
    watch_.forget_sync();
}

void Follower::note_heard() {
    const std::lock_guard lock(mutex_);
    watch_.note_word(now());
}

void Follower::check_silence() const {
    const auto limit = options_.failover_timeout.count() == 0 ? options_.timeout : options_.failover_timeout;
    const std::lock_guard lock(mutex_);
    if (watch_.since_source(now()) >= limit) {
        throw ChannelError("the master has been silent for " + std::to_string(limit.count()) + " ms");
    }
}

/// Receiving is progress: on a slow connection a group of events takes its time.
void Follower::say_alive(Connection& connection) {
    if (now() - connection.alive_at >= alive_interval) {
        connection.alive_at = now();
        connection.channel.queue_numbers(FrameKind::alive, {connection.channel.bytes_received()});
    }
}

void Follower::note_epoch(const Epoch& named, const DatabaseId& database) {
    source_epoch_ = named;
    if (!named.is_later_than(database_.known_epoch())) {
        return;
    }
    try {
        database_.fence(named, database);
    } catch (const RequestError& refused) {
        throw ChannelError(std::string("the source names an epoch that cannot be: ") + refused.what());
    }
}

/// Somebody else than the source has named a later epoch than the source has: it may be the master of an
/// earlier one, and is told nothing more of what this node has.
void Follower::check_source_epoch() const {
    if (source_epoch_ && database_.known_epoch().is_later_than(*source_epoch_)) {
        throw ChannelError("a later epoch than the source's was named by another node");
    }
}

void Follower::leave_overtaken_source() {
    constexpr auto time_max = std::chrono::milliseconds(300);
    const Clock::time_point end = now() + time_max;
    std::unique_lock lock(mutex_);
    while (channel_ != nullptr && now() < end) {
        channel_->wake();
        changed_->wait(lock, std::chrono::milliseconds(20));
    }
}

bool Follower::takes_state() const {
    const std::lock_guard lock(mutex_);
    return figures_.state == "bootstrapping";
}

bool Follower::installs_state() const {
    const std::lock_guard lock(mutex_);
    return installs_state_;
}

/// The master hears that the list is stored, each time that it tells one.
void Follower::take_list(Connection& connection, Life& life) {
    const std::optional<CountedList> list = std::exchange(life.counted, std::nullopt);
    if (counted_ == nullptr || !list || !life.is_master() || !list->counts(database_.node_id())) {
        return;
    }
    counted_->store_told(*list);
    connection.channel.queue_numbers(FrameKind::list_stored,
                                     {list->epoch.number, list->epoch.id, list->version});
}

/// A node that is promoted announces its epoch to them.
void Follower::note_peers(const Life& life) {
    if (peers_ == nullptr) {
        return;
    }
    std::vector<KnownNode> nodes = life.others;
    if (life.peers) {
        nodes.insert(nodes.end(), life.peers->begin(), life.peers->end());
    }
    peers_->note_told(placed(std::move(nodes), options_.host));
}

void Follower::take_heartbeat(Connection& connection, std::string_view payload) {
    const Lsn lsn = take_number(payload);
    if (payload.size() > sizeof(std::uint64_t)) {
        take_number(payload);  // the epoch
        Life life = read_life(payload);
        if (!are_strangers(connection.accepted.database_id, database_.database_id())) {
            note_epoch(life.known_epoch, connection.accepted.database_id);
            take_list(connection, life);
            note_peers(life);
        }
        const auto is_this_node = [this](const NodeName& node) { return node.id == database_.node_id(); };
        if (std::ranges::any_of(life.chain, is_this_node)) {
            turn_down("refused", "the source follows this node: that is a ring, in which nobody is master");
        }
        if (std::exchange(source_failure_, life.failure) != life.failure && !life.failure.empty()) {
            log_.warning("source_failed", {{"master", source()},
                                           {"message", life.failure},
                                           {"advice", "restart that node, or promote a follower"}});
        }
        const std::lock_guard lock(mutex_);
        watch_.note_life(std::move(life), now());
    } else {
        const std::lock_guard lock(mutex_);
        watch_.note_plain_life(now());
    }
    note_master_lsn(lsn);
    connection.channel.queue_numbers(FrameKind::alive, {connection.channel.bytes_received()});
}

void Follower::note_master_lsn(Lsn lsn) {
    const std::lock_guard lock(mutex_);
    const bool was_behind = figures_.source_lsn > figures_.replayed_lsn;
    figures_.source_lsn = lsn;
    if (lsn > figures_.replayed_lsn && !was_behind) {
        behind_since_ = now();
    }
    if (channel_ != nullptr) {
        note_if_in_sync();
    }
}

/// Under load there is always something on its way: what counts is when there was nothing last.
void Follower::note_if_in_sync() {
    // While a state comes, what this node has is about to be replaced.
    if (figures_.replayed_lsn < figures_.source_lsn || figures_.state == "bootstrapping") {
        return;
    }
    watch_.note_has_everything(now());
    if (channel_ != nullptr && watch_.knows_source()) {
        figures_.state = watch_.has_master(now()) ? "streaming" : "no_master";
    }
}

}  // namespace karma::replica
