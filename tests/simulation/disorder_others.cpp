#include "engine/error.h"
#include "net/client_connection.h"
#include "replica/handshake.h"
#include "tests/simulation/disorder.h"

/// What else the operator does, after all other mistakes: other tokens, other programs, a node without a log.
namespace karma::test {
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
            return nodes_[node]->database() == nullptr || nodes_[node]->statistics().state == "streaming";
        })) {
        return note_failure(name_of(node) + " does not follow with the right token");
    }
    // Others may follow the source, and have no token.
    alone.token.clear();
    role.token.clear();
    start(source, alone);
    start(node, role);
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
        const std::unique_ptr<replica::LineClient> line = network_.of("other version").connect(peer);
        if (replica::read_reply(line->ask(replica::subscribe_line(self, ""))).accepted) {
            note_failure(source + " accepts a follower of another version");
        }
    } catch (const net::ConnectionError&) {
        return;  // it is not there
    } catch (const replica::ChannelError& failure) {
        note_failure(source + " answers a follower of another version with " + failure.what());
    }
}

}  // namespace karma::test
