#include <algorithm>

#include "engine/error.h"
#include "net/client_connection.h"
#include "replica/handshake.h"
#include "tests/simulation/disorder.h"
#include "tests/simulation/karma1_master.h"

/// What else the operator does, after all other mistakes: other tokens, other programs, a node without a log.
namespace karma::test {
namespace {

constexpr const char* karma1 = "karma-1.0";

}  // namespace

void Disorder::meet_others() {
    for (std::uint64_t left = scheduler_.between(0, 2); left > 0 && !is_over_; --left) {
        switch (scheduler_.between(0, 4)) {
            case 0: forget_token(); break;
            case 1: lock_master(); break;
            case 2: follow_without_log(); break;
            case 3: follow_other_version(); break;
            default: follow_karma1();
        }
        heal();
        restart_dead();
    }
}

/// Whether it holds nothing of the cluster's: its acknowledgements may count for writes.
bool Disorder::is_spare(std::size_t node) const { return chronicle_.database_of(name_of(node)) != database_; }

/// A machine of which nothing is known: what it held is gone.
void Disorder::begin_anew(std::size_t node) {
    nodes_[node]->stop();
    chronicle_.forget(name_of(node));
    nodes_[node]->move_in(MemoryStorage());
}

bool Disorder::comes_true_within(std::chrono::seconds time, const std::function<bool()>& is_so) {
    const auto end = scheduler_.now() + time;
    while (!is_over_ && scheduler_.now() < end) {
        if (is_so()) {
            return true;
        }
        pause(100);
    }
    return is_over_;
}

/// A follower that has another token than its source gets nothing, says so, and gets all with the right one.
void Disorder::forget_token() {
    const std::size_t source = cluster_count;
    const std::size_t node = cluster_count + 1;
    if (!is_spare(source) || !is_spare(node)) {
        return;
    }
    begin_anew(source);
    begin_anew(node);
    note("wrong tokens");
    NodeRole alone = master();
    alone.min_acks = 0;
    alone.token = "secret";
    if (!start(source, alone)) {
        return;
    }
    nodes_[source]->database()->call(Mutation{mutation::Increment{"token", 1}});
    NodeRole role = follower_of(source);
    role.failover_ms = 0;
    role.token = "wrong";
    start(node, role);
    pause(8'000);  // claims are checked meanwhile
    if (nodes_[node]->database() != nullptr && nodes_[node]->database()->durable_lsn() != 0) {
        return note_failure(name_of(node) + " has got something with a wrong token");
    }
    role.token = "secret";
    start(node, role);
    if (!comes_true_within(std::chrono::seconds(20), [&] {
            return nodes_[node]->database() == nullptr || nodes_[node]->figures().state == "streaming";
        })) {
        note_failure(name_of(node) + " does not follow with the right token");
    }
}

/// Only the master gets a token: its followers are refused, which is no silence.
void Disorder::lock_master() {
    const std::optional<std::size_t> found = find_master();
    if (!found || *found >= cluster_count || roles_[*found].source) {
        return;
    }
    NodeRole role = roles_[*found];
    role.token = "secret";
    note("locked masters");
    start(*found, role);
    pause(8'000);
    role.token.clear();
    start(*found, role);
}

/// A node without a log cannot be followed, and begins no epoch.
void Disorder::follow_without_log() {
    const std::size_t source = cluster_count;
    const std::size_t node = cluster_count + 1;
    if (!is_spare(source) || !is_spare(node)) {
        return;
    }
    begin_anew(source);
    begin_anew(node);
    note("nodes without a log");
    NodeRole alone = master();
    alone.min_acks = 0;
    alone.has_log = false;
    if (!start(source, alone)) {
        return;
    }
    Database& database = *nodes_[source]->database();
    for (std::uint64_t left = scheduler_.between(0, 5); left > 0; --left) {
        database.call(Mutation{mutation::Increment{"no log", left}});
    }
    NodeRole role = follower_of(source);
    role.failover_ms = 0;
    start(node, role);
    pause(8'000);  // claims are checked meanwhile
    if (nodes_[source]->database() == nullptr) {
        return;
    }
    database.fence({2, 1, 0}, database.database_id());
    try {
        nodes_[source]->promote(true);
        note_failure(name_of(source) + " has begun an epoch without a log");
    } catch (const RequestError& refused) {
        if (refused.code() != ErrorCode::validation_error) {
            note_failure(std::string("a promotion without a log is refused by ") + refused.what());
        }
    }
    begin_anew(source);
}

/// Its frames and checksums would mean something else.
void Disorder::follow_other_version() {
    const std::string source = name_of(scheduler_.between(0, cluster_count - 1));
    note("other versions");
    net::Subscription self;
    self.format = replica::stream_format + (scheduler_.one_in(2) ? 1 : -1);
    self.name = "other version";
    self.node_id = scheduler_.random()() | 1U;
    self.is_empty = true;
    self.checksum = 0;
    replica::Peer peer;
    peer.host = source;
    try {
        const std::unique_ptr<replica::Line> line = network_.of("other version").connect(peer);
        if (replica::read_reply(line->ask(replica::subscribe_line(self, ""))).accepted) {
            note_failure(source + " accepts a follower of another version");
        }
    } catch (const net::ConnectionError&) {
        return;  // it is not there
    } catch (const replica::ChannelError& failure) {
        note_failure(source + " answers a follower of another version with " + failure.what());
    }
}

/// A Karma 1.0, which only answers polls, is followed through crashes and lost connections; then it loses the
/// end of its log, and writes more.
void Disorder::follow_karma1() {
    const std::size_t node = nodes_count - 1;
    if (!is_spare(node)) {
        return;
    }
    begin_anew(node);
    SimulatedKarma1 source(karma1, network_);
    source.write(scheduler_.between(0, 30));
    NodeRole role = follower_of(0);
    role.source = karma1;
    role.failover_ms = 0;
    note("Karma 1.0 followed");
    start(node, role);
    for (std::uint64_t left = scheduler_.between(1, 5); left > 0 && !is_over_; --left) {
        source.write(scheduler_.between(0, 10));
        pause(1'500);
        if (scheduler_.one_in(2)) {
            crash(node);
            start(node, role);
        } else {
            network_.break_one();
        }
    }
    const std::vector<std::uint64_t> before = source.keys();
    const auto has_all = [&] {
        Database* const database = nodes_[node]->database();
        if (database == nullptr || database->has_failed()) {
            start(node, role);
            return false;
        }
        return database->durable_lsn() == before.size();
    };
    if (!comes_true_within(std::chrono::seconds(60), has_all)) {
        return note_failure("a follower of a Karma 1.0 does not get all of it");
    }
    check_karma1(node, before);
    lose_karma1_tail(source, node, role);
    begin_anew(node);
    start(node, follower_of(0));
}

/// Each event counts once, and nothing else does.
void Disorder::check_karma1(std::size_t node, const std::vector<std::uint64_t>& keys) {
    Database* const database = nodes_[node]->database();
    if (is_over_ || database == nullptr || keys.empty()) {
        return;
    }
    for (std::uint64_t key = 1; key <= keys.back() + 100; ++key) {
        const std::uint64_t expected = static_cast<std::uint64_t>(std::ranges::count(keys, key));
        if (const std::uint64_t value = database->sum(SimulatedKarma1::series, key); value != expected) {
            return note_failure("a follower of a Karma 1.0 has " + std::to_string(value) + " for key " +
                                std::to_string(key) + ", not " + std::to_string(expected));
        }
    }
}

/// What the follower has and the master has not any more is an alarm, which does not go when the log has
/// passed that LSN again.
void Disorder::lose_karma1_tail(SimulatedKarma1& source, std::size_t node, const NodeRole& role) {
    const std::vector<std::uint64_t> before = source.keys();
    if (is_over_ || before.empty()) {
        return;
    }
    const auto tells = [&] { return nodes_[node]->alarm().find("replication_gap") != std::string::npos; };
    source.lose_tail(scheduler_.between(1, before.size()));
    if (!comes_true_within(std::chrono::seconds(60), tells)) {
        return note_failure("the lost end of the log of a Karma 1.0 is no alarm");
    }
    source.write(before.size() + scheduler_.between(1, 20));
    pause(5'000);
    if (scheduler_.one_in(2)) {
        crash(node);
        start(node, role);
    }
    if (!comes_true_within(std::chrono::seconds(60), tells)) {
        return note_failure("the alarm of the lost end of the log of a Karma 1.0 has gone by itself");
    }
    check_karma1(node, before);
}

}  // namespace karma::test
