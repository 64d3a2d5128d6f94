// Who takes the place of a source that falls silent, and was no master when it did: nobody.
#include <memory>
#include <string>

#include <doctest/doctest.h>

#include "replica/source_watch.h"
#include "tests/replica/hand_made_follower.h"
#include "tests/replica/in_process.h"
#include "tests/support/comes_true.h"
#include "tests/support/port.h"
#include "tests/support/proxy.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

constexpr Milliseconds failover_after(3000);

replica::NodeOptions failing_over(std::uint16_t port, const TempDir& directory) {
    replica::NodeOptions options = following(port, directory);
    options.follower->failover_timeout = failover_after;
    options.failover_unsafe = true;
    return options;
}

bool comes_into(InProcessNode& node, const std::string& state) {
    return comes_true([&] { return node.node().statistics().state == state; });
}

// After it has tried several times more to reach who was silent for long enough: each would have sufficed.
void does_not_fail_over(InProcessNode& node) {
    REQUIRE(comes_true([&] {
        const auto silent = node.node().statistics().seconds_since_heard;
        return silent && *silent > std::chrono::duration<double>(failover_after).count();
    }));
    const std::uint64_t tried = node.node().statistics().polls.attempts;
    REQUIRE(comes_true([&] { return node.node().statistics().polls.attempts >= tried + 3; }));
    CHECK(node.database().role() == Role::slave);
    CHECK(node.database().epochs().empty());
}

}  // namespace

TEST_CASE("source failover: who lost another follower does not take the place of a master that is there") {
    MemoryStorage storages[3];
    const TempDir directory;
    InProcessNode master(storages[0]);
    master.database().increment("a", 1, 1, some_day);
    auto middle =
        std::make_unique<InProcessNode>(storages[1], slave_options(), following(master.port(), directory));
    InProcessNode last(storages[2], slave_options(), failing_over(middle->port(), directory));
    REQUIRE(comes_into(last, "streaming"));
    middle.reset();
    does_not_fail_over(last);
    CHECK(master.database().role() == Role::master);
}

TEST_CASE("source failover: who lost a fenced source does not begin an epoch after the one that fenced it") {
    MemoryStorage storages[2];
    const TempDir directory;
    auto master = std::make_unique<InProcessNode>(storages[0]);
    master->database().increment("a", 1, 1, some_day);
    InProcessNode slave(storages[1], slave_options(), failing_over(master->port(), directory));
    REQUIRE(comes_into(slave, "streaming"));
    master->database().fence({5, 1, 0}, master->database().database_id());
    REQUIRE(comes_into(slave, "refused"));
    master.reset();
    does_not_fail_over(slave);
}

TEST_CASE("source failover: who lost a diverged source does not take a master's place") {
    MemoryStorage storages[3];
    const TempDir directories[2];
    const ReservedPort port;
    // Closes connections at once while the source is not there, which is no silence.
    auto network = std::make_unique<Proxy>(port.number());
    for (int i : {0, 1}) {
        InProcessNode node(storages[i]);
        node.database().increment(i == 0 ? "theirs" : "mine", 1, 1, some_day);
    }
    make_one_database(storages[0], storages[1]);
    auto source = std::make_unique<InProcessNode>(storages[1], DatabaseOptions{}, replica::NodeOptions{},
                                                  port.number());
    InProcessNode last(storages[2], slave_options(), failing_over(network->port(), directories[0]));
    REQUIRE(comes_into(last, "streaming"));
    source.reset();
    InProcessNode master(storages[0]);
    source = std::make_unique<InProcessNode>(storages[1], slave_options(),
                                             following(master.port(), directories[1]), port.number());
    REQUIRE(comes_into(*source, "diverged"));
    // Refused, or taken by a source that did not know yet, which has told it since.
    REQUIRE(comes_true([&] { return contains(health_of(last), "diverged"); }));
    network.reset();
    does_not_fail_over(last);
}

TEST_CASE("source failover: who was refused last by a node that is no master does not take its place") {
    MemoryStorage storages[3];
    const TempDir directories[2];
    const ReservedPort port;
    auto network = std::make_unique<Proxy>(port.number());
    auto source = std::make_unique<InProcessNode>(storages[0], DatabaseOptions{}, replica::NodeOptions{},
                                                  port.number());
    source->database().increment("a", 1, 1, some_day);
    InProcessNode last(storages[1], slave_options(), failing_over(network->port(), directories[0]));
    REQUIRE(comes_into(last, "streaming"));
    source.reset();
    // On another directory it is an empty follower, which refuses whoever asks.
    source = std::make_unique<InProcessNode>(storages[2], slave_options(),
                                             following(free_port(), directories[1]), port.number());
    REQUIRE(comes_into(last, "refused"));
    CHECK(contains(health_of(last), "empty"));
    network.reset();
    does_not_fail_over(last);
}

TEST_CASE("source failover: only the silence of a master is one") {
    using Time = replica::Clock::time_point;
    const Milliseconds limit(100);
    const Time begin{};
    replica::SourceWatch watch(Milliseconds(15'000));
    watch.begin(begin);
    watch.note_connected(begin);
    replica::Life life;
    life.master_heard = Milliseconds(0);
    life.role = "master";
    SUBCASE("of a master that this node had everything of") {
        watch.note_life(life, begin);
        watch.note_has_everything(begin);
        watch.note_lost(begin);
        CHECK_FALSE(watch.was_lost_in_sync(begin + limit / 2, limit));
        CHECK(watch.was_lost_in_sync(begin + limit, limit));
    }
    SUBCASE("of a follower that hears the master") {
        life.role = "slave";
        watch.note_life(life, begin);
        watch.note_has_everything(begin);
        watch.note_lost(begin);
        CHECK_FALSE(watch.was_lost_in_sync(begin + 10 * limit, limit));
    }
    SUBCASE("of a fenced node, a diverged one, or one that is no way to a master") {
        watch.note_life(life, begin);
        watch.note_has_everything(begin);
        life.role = "fenced";
        life.doubt = "is fenced";
        SUBCASE("fenced") {}
        SUBCASE("diverged") { life.role = "slave"; }
        watch.note_life(life, begin + limit / 4);
        watch.note_has_everything(begin + limit / 4);
        watch.note_lost(begin);
        CHECK_FALSE(watch.was_lost_in_sync(begin + 10 * limit, limit));
    }
}

TEST_CASE("source failover: a source that closes each connection is doubted like one that is silent") {
    const replica::Clock::time_point begin{};
    const Milliseconds timeout(1'000);
    replica::SourceWatch watch(timeout);
    watch.begin(begin);
    SUBCASE("from the beginning") {}
    SUBCASE("after a time") {
        watch.note_connected(begin);
        watch.note_lost(begin);
    }
    for (int i = 1; i < 10; ++i) {
        watch.note_word(begin + i * timeout / 10);
        watch.note_lost(begin + i * timeout / 10);
        CHECK(watch.doubt(begin + i * timeout / 10).empty());
    }
    watch.note_word(begin + timeout);
    CHECK(watch.doubt(begin + timeout) == "not connected to the source for 1 s");
}

TEST_CASE("source failover: what is doubted of a source is not gone with the connection to it") {
    const replica::Clock::time_point begin{};
    replica::SourceWatch watch(Milliseconds(1'000));
    watch.begin(begin);
    watch.note_connected(begin);
    replica::Life life;
    life.role = "slave";
    life.doubt = "follows nobody";
    watch.note_life(life, begin);
    CHECK(watch.doubt(begin) == "the source follows nobody");
    watch.note_lost(begin);
    CHECK(watch.doubt(begin) == "the source follows nobody");
    watch.note_connected(begin);
    CHECK(watch.doubt(begin) == "the source follows nobody");
}

}  // namespace karma::test
