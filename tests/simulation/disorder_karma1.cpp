#include <algorithm>

#include "tests/simulation/disorder.h"
#include "tests/simulation/karma1_master.h"

/// A Karma 1.0 is followed, and loses the end of its log.
namespace karma::test {
namespace {

constexpr const char* karma1 = "karma-1.0";

}  // namespace

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
