// Counted followers, the lists that they are told, and promises: R7 of docs/replication-protocol.md.
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "engine/error.h"
#include "engine/identity.h"
#include "net/client_connection.h"
#include "replica/counted_followers.h"
#include "tests/replica/hand_made_follower.h"
#include "tests/replica/in_process.h"
#include "tests/support/comes_true.h"
#include "tests/support/port.h"
#include "tests/support/proxy.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

bool is_streaming(InProcessNode& node) { return node.node().statistics().state == "streaming"; }

void call_second(net::Subscription& self) {
    self.name = "second";
    self.node_id = 78;
    self.port = 1234;
}

bool hears(HandMadeFollower& follower, const std::function<bool(const replica::Life&)>& is_it) {
    return follower.hear(is_it).has_value();
}

bool has_heard_something(HandMadeFollower& follower) {
    return hears(follower, [](const replica::Life&) { return true; });
}

bool is_told_of(HandMadeFollower& follower, std::uint64_t node) {
    return hears(follower, [node](const replica::Life& life) {
        return life.counted && life.counted->find(node) != nullptr;
    });
}

// Whether this follower, which stores its master's lists, counts.
bool is_counted(InProcessNode& node, std::uint64_t id) {
    for (const CountedStatistics& one : node.node().statistics().counted) {
        if (one.node_id == id) return one.is_counted;
    }
    return false;
}

replica::NodeOptions with_failover(replica::NodeOptions options, Milliseconds timeout = Milliseconds(500)) {
    options.follower->failover_timeout = timeout;
    return options;
}

json::object asking(const Epoch& epoch, bool is_ordered = true) {
    return {{"epoch", epoch.number},
            {"epoch_id", epoch.id},
            {"node_id", node_id_text(99)},
            {"silence_ms", 500},
            {"ordered", is_ordered}};
}

// A master that counts two followers, over a network that can be cut.
struct Three {
    Three() {
        write_unacknowledged(master->database());
        REQUIRE(comes_true([&] { return is_streaming(one); }));
        two = std::make_unique<InProcessNode>(
            storages[2], slave_options(),
            with_failover(following(network.port(), directory), Milliseconds(0)));
        REQUIRE(comes_true([&] {
            return is_counted(one, two->database().node_id()) && is_counted(*two, one.database().node_id());
        }));
    }

    const TempDir directory;
    MemoryStorage storages[3];
    std::unique_ptr<InProcessNode> master =
        std::make_unique<InProcessNode>(storages[0], waiting_for(1, 20'000), with_acks(1));
    Proxy network{master->port()};
    InProcessNode one{storages[1], slave_options(), with_failover(following(network.port(), directory))};
    std::unique_ptr<InProcessNode> two;
};

}  // namespace

// ---- the list

TEST_CASE("promises: a follower counts when all that count have stored a list with it, and is told then") {
    MemoryStorage storage;
    InProcessNode master(storage, waiting_for(1), with_acks(1));
    HandMadeFollower first(master.port());
    first.acknowledge(0);
    const auto told = first.hear([](const replica::Life& life) { return life.counted.has_value(); });
    REQUIRE(told);
    CHECK(told->counted->counts(77));
    first.stores = false;
    HandMadeFollower second(master.port(), call_second);
    second.acknowledge(0);
    REQUIRE(is_told_of(first, 78));
    write_unacknowledged(master.database());
    REQUIRE(second.receives(1));
    second.acknowledge(1);
    // The first one has not said that it has stored it: what the second one has counts for nothing.
    for (int i = 0; i < 10; ++i) {
        const auto life = second.hear([](const replica::Life&) { return true; });
        REQUIRE(life);
        CHECK_FALSE(life->counted);
        REQUIRE(has_heard_something(first));
    }
    CHECK(master.database().acked_lsn() == 0);
    CHECK(is_counted(master, 77));
    CHECK_FALSE(is_counted(master, 78));
    first.stores = true;
    REQUIRE(comes_true([&] { return has_heard_something(first) && master.database().acked_lsn() == 1; }));
    const auto whole = second.hear([](const replica::Life& life) { return life.counted.has_value(); });
    REQUIRE(whole);
    CHECK(whole->counted->counts(77));
    CHECK(whole->counted->counts(78));
}

TEST_CASE("promises: who counts stays so through a restart of the master, until it is taken from the list") {
    MemoryStorage storage;
    const DatabaseOptions options = waiting_for(1);
    {
        InProcessNode master(storage, options, with_acks(1));
        HandMadeFollower first(master.port());
        first.acknowledge(0);
        REQUIRE(is_told_of(first, 77));
        Client client(master.port());
        CHECK(client.error_of("replication.forget_follower", {{"name", "by-hand"}}) == "validation_error");
        CHECK(client.error_of("replication.forget_follower") == "validation_error");
    }
    InProcessNode master(storage, options, with_acks(1));
    HandMadeFollower second(master.port(), call_second);
    second.acknowledge(0);
    REQUIRE(has_heard_something(second));
    CHECK(contains(health_of(master), "replication.forget_follower node_id=" + node_id_text(77)));
    CHECK(is_counted(master, 77));
    CHECK_FALSE(is_counted(master, 78));
    Client client(master.port());
    CHECK(client.error_of("replication.forget_follower", {{"name", "nobody"}}) == "not_found");
    CHECK(member(client.call("replication.forget_follower", {{"node_id", node_id_text(77)}}), "name") ==
          json::value("by-hand"));
    REQUIRE(is_told_of(second, 78));
    CHECK(health_of(master) == "ok");
    write_unacknowledged(master.database());
    REQUIRE(second.receives(1));
    second.acknowledge(1);
    CHECK(comes_true([&] { return has_heard_something(second) && master.database().acked_lsn() == 1; }));
}

TEST_CASE(
    "promises: a list without a follower that was taken away is told to who has all that that one may have") {
    MemoryStorage storage;
    InProcessNode master(storage, waiting_for(1), with_acks(1));
    HandMadeFollower first(master.port());
    first.acknowledge(0);
    REQUIRE(is_told_of(first, 77));
    {
        HandMadeFollower second(master.port(), call_second);
        second.acknowledge(0);
        REQUIRE(comes_true([&] { return has_heard_something(first) && is_counted(master, 78); }));
        REQUIRE(has_heard_something(second));
    }
    write_unacknowledged(master.database());
    REQUIRE(first.receives(1));
    REQUIRE(comes_true(
        [&] { return has_heard_something(first) && master.node().statistics().followers.size() == 1; }));
    Client client(master.port());
    client.call("replication.forget_follower", {{"name", "second"}});
    CHECK_FALSE(is_counted(master, 78));
    for (int i = 0; i < 5; ++i) {
        const auto life = first.hear([](const replica::Life&) { return true; });
        REQUIRE(life);
        CHECK_FALSE(life->counted);
    }
    first.acknowledge(1);
    const auto shorter = first.hear([](const replica::Life& life) { return life.counted.has_value(); });
    REQUIRE(shorter);
    CHECK(shorter->counted->find(78) == nullptr);
}

TEST_CASE("promises: a follower of a version before lists does not count, and health says why") {
    MemoryStorage storage;
    InProcessNode master(storage, waiting_for(1), with_acks(1));
    HandMadeFollower old(master.port(), [](net::Subscription& self) { self.stores_lists = false; });
    old.acknowledge(0);
    REQUIRE(has_heard_something(old));
    CHECK(contains(health_of(master), "by-hand does not count: it is of a version before"));
    CHECK(master.node().statistics().counted.empty());
}

TEST_CASE("promises: a list that is damaged stops the node, rather than being taken for none") {
    MemoryStorage storage;
    const auto database = Database::open({}, storage);
    net::Log log(net::LogLevel::warning);
    database->write_note(counted_note, R"({"epoch":1})");
    CHECK_THROWS_AS(replica::CountedFollowers(*database, log), CorruptionError);
}

// ---- promises

TEST_CASE(
    "promises: who has promised ends its stream, acknowledges nothing more, and promises nothing earlier") {
    MemoryStorage storages[2];
    const TempDir directory;
    InProcessNode master(storages[0], waiting_for(1, 300), with_acks(1));
    write_unacknowledged(master.database());
    InProcessNode slave(storages[1], slave_options(), following(master.port(), directory));
    REQUIRE(comes_true([&] { return is_streaming(slave) && is_counted(slave, slave.database().node_id()); }));
    Client client(slave.port());
    // It hears its master: only an operator's word is enough.
    const json::value refused = client.call("replication.promise", asking({5, 3}, false));
    CHECK(member(refused, "promised") == json::value(false));
    CHECK(contains(std::string(member(refused, "reason").as_string()), "has heard the master"));
    CHECK(slave.database().known_epoch().number == 0);
    // A question without an epoch changes nothing.
    CHECK(member(client.call("replication.promise", asking({})), "promised") == json::value(true));
    CHECK(slave.database().known_epoch().number == 0);
    const json::value given = client.call("replication.promise", asking({5, 3}));
    CHECK(member(given, "promised") == json::value(true));
    CHECK(as_number(member(given, "epoch")) == 5);
    CHECK(as_number(member(given, "lsn")) == slave.database().durable_lsn());
    // The same again, as after a lost answer; and one that is not later.
    CHECK(member(client.call("replication.promise", asking({5, 3})), "promised") == json::value(true));
    CHECK(member(client.call("replication.promise", asking({5, 2})), "promised") == json::value(false));
    // Its master is told by it, and a write that waits is not acknowledged.
    CHECK(comes_true([&] { return master.database().role() == Role::fenced; }));
    const Epoch known = slave.database().known_epoch();
    CHECK(known.number == 5);
    CHECK(known.id == 3);
}

TEST_CASE("promises: who has heard of the epoch from one that promised before promises it as well") {
    MemoryStorage storage;
    InProcessNode slave(storage, slave_options(), following(free_port(), TempDir()));
    slave.database().adopt_database_id({5, 5});
    Client client(slave.port());
    client.call("replication.fence", {{"epoch", 5}, {"epoch_id", 3}});
    REQUIRE(slave.database().known_epoch().number == 5);
    CHECK(member(client.call("replication.promise", asking({5, 3})), "promised") == json::value(true));
    CHECK(member(client.call("replication.promise", asking({5, 2})), "promised") == json::value(false));
    client.call("replication.fence", {{"epoch", 5}, {"epoch_id", 4}});
    CHECK(member(client.call("replication.promise", asking({5, 3})), "promised") == json::value(false));
}

TEST_CASE("promises: what was promised is durable before it is answered") {
    MemoryStorage storage;
    {
        InProcessNode slave(storage, slave_options(), following(free_port(), TempDir()));
        slave.database().adopt_database_id({5, 5});
        Client client(slave.port());
        CHECK(member(client.call("replication.promise", asking({5, 3})), "promised") == json::value(true));
    }
    const auto again = Database::open(slave_options(), storage);
    CHECK(again->known_epoch().number == 5);
}

TEST_CASE("promises: a node that holds no database yet promises nothing, as it may get another one") {
    MemoryStorage storage;
    InProcessNode node(storage, slave_options());
    json::object asked = asking({5, 7, 0});
    asked["database_id"] = std::string(32, '5');
    Client client(node.port());
    CHECK(client.error_of("replication.promise", asked) == "replication_error");
    CHECK(node.database().known_epoch().number == 0);
    // Nor does it say that it would.
    asked.erase("epoch");
    asked.erase("epoch_id");
    CHECK(client.error_of("replication.promise", asked) == "replication_error");
}

TEST_CASE("promises: a master promises nothing") {
    MemoryStorage storage;
    InProcessNode master(storage);
    Client client(master.port());
    const json::value answer = client.call("replication.promise", asking({5, 3}));
    CHECK(member(answer, "promised") == json::value(false));
    CHECK(member(answer, "reason") == json::value("it is a master"));
    CHECK(master.database().role() == Role::master);
}

TEST_CASE("promises: a counted follower takes the master's place with the promises of all others") {
    Three nodes;
    nodes.network.hold(true, true);
    CHECK(comes_true([&] { return nodes.one.database().role() == Role::master; }));
    CHECK(nodes.two->database().known_epoch().number == nodes.one.database().known_epoch().number);
}

TEST_CASE("promises: behind a master that waits for nobody any more the list alone promotes nobody") {
    const TempDir directory;
    MemoryStorage storages[2];
    const ReservedPort place;
    const std::uint16_t port = place.number();
    auto master = std::make_unique<InProcessNode>(storages[0], waiting_for(1, 20'000), with_acks(1), port);
    Proxy network(port);
    InProcessNode one(storages[1], slave_options(), with_failover(following(network.port(), directory)));
    write_unacknowledged(master->database());
    REQUIRE(comes_true([&] { return is_counted(one, one.database().node_id()) && is_streaming(one); }));
    master.reset();
    master = std::make_unique<InProcessNode>(storages[0], DatabaseOptions(), replica::NodeOptions(), port);
    const auto has_heard = [&] {
        const std::optional<replica::Life> life = one.node().heard();
        return life && life->min_acks == std::uint64_t{0};
    };
    REQUIRE(comes_true([&] { return has_heard() && is_streaming(one); }));
    network.hold(true, true);
    CHECK(comes_true([&] { return contains(health_of(one), "no other follower"); }));
    CHECK(one.database().role() == Role::slave);
    CHECK(one.database().known_epoch() == Epoch{});
}

TEST_CASE("promises: without the promise of one that counts nobody takes the master's place by himself") {
    Three nodes;
    const Epoch before = nodes.one.database().known_epoch();
    nodes.two.reset();
    nodes.network.hold(true, true);
    REQUIRE(comes_true([&] { return contains(health_of(nodes.one), "does not answer"); }));
    CHECK(nodes.one.database().role() == Role::slave);
    // Nothing was begun, and nothing is fenced: the master goes on when it is there again.
    CHECK(nodes.one.database().known_epoch() == before);
    SUBCASE("an operator's word is enough, and he is told who did not answer") {
        Client client(nodes.one.port());
        const json::value promoted = client.call("replication.promote");
        CHECK(member(promoted, "without_promise").as_array().size() == 1);
        CHECK(nodes.one.database().role() == Role::master);
    }
    SUBCASE("the master is back") {
        nodes.network.let_through();
        CHECK(comes_true([&] { return health_of(nodes.one) == "ok"; }));
        CHECK(nodes.master->database().role() == Role::master);
    }
}

TEST_CASE("promises: a promotion is refused where another follower is ahead, and nothing is fenced by it") {
    MemoryStorage storages[3];
    const TempDir directory;
    InProcessNode master(storages[0]);
    master.database().increment("a", 1, 1, some_day);
    Proxy network(master.port());
    InProcessNode one(storages[1], slave_options(), following(network.port(), directory));
    InProcessNode two(storages[2], slave_options(), following(master.port(), directory));
    REQUIRE(comes_true([&] {
        const auto life = one.node().heard();
        return is_streaming(one) && is_streaming(two) && life && !life->others.empty() &&
               life->others.front().port != 0;
    }));
    network.cut(true);
    REQUIRE(comes_true([&] { return master.node().statistics().followers.size() == 1; }));
    master.database().increment("a", 1, 1, some_day);
    REQUIRE(comes_true([&] { return two.database().durable_lsn() == 2; }));
    Client client(one.port());
    const json::value refused = client.ask("replication.promote");
    CHECK(member(refused, "error_code") == json::value("replication_error"));
    CHECK(contains(std::string(member(refused, "response").as_string()), "it is ahead, at LSN 2"));
    CHECK(one.database().role() == Role::slave);
    CHECK(master.database().role() == Role::master);
    CHECK(master.database().known_epoch().number == 0);
    // With force nobody is asked.
    CHECK(as_number(member(client.call("replication.promote", {{"force", true}}), "epoch")) == 1);
    CHECK(client.error_of("replication.promote", {{"force", "perhaps"}}) == "validation_error");
}

TEST_CASE("promises: a promotion asks the follower that this node follows, which may be ahead") {
    const TempDir directory;
    MemoryStorage storages[3];
    InProcessNode master(storages[0]);
    write_unacknowledged(master.database());
    InProcessNode between(storages[1], slave_options(), following(master.port(), directory));
    REQUIRE(comes_true([&] { return is_streaming(between); }));
    Proxy network(between.port());
    InProcessNode last(storages[2], slave_options(), following(network.port(), directory));
    REQUIRE(comes_true([&] { return is_streaming(last); }));
    SUBCASE("it promises") {
        CHECK(last.node().promote().without_promise.empty());
        CHECK(between.database().known_epoch().number == 1);
    }
    SUBCASE("it does not answer, and is named") {
        network.hold(true, true);
        const std::vector<std::string> silent = last.node().promote().without_promise;
        REQUIRE(silent.size() == 1);
        CHECK(silent.front() == "node-" + std::to_string(between.port()));
    }
}

TEST_CASE("promises: one that was taken from the list gets no promise of those that are in it") {
    Three nodes;
    const std::uint64_t gone = nodes.one.database().node_id();
    // The list without it, as its master would tell.
    const auto kept = nodes.storages[2].read(Table::meta, "note_counted_followers");
    REQUIRE(kept);
    REQUIRE(contains(*kept, std::to_string(gone)));
    nodes.network.hold(true, true);
    Client client(nodes.two->port());
    REQUIRE(comes_true([&] {
        json::object question = asking({7, 7}, false);
        const json::value answer = client.call("replication.promise", question);
        return contains(std::string(member(answer, "reason").as_string()), "none of the counted followers");
    }));
    json::object question = asking({7, 7}, false);
    question["node_id"] = node_id_text(gone);
    CHECK(member(client.call("replication.promise", question), "promised") == json::value(true));
}

TEST_CASE("promises: a fenced node is made master again with force, and says so before") {
    MemoryStorage storage;
    InProcessNode node(storage);
    node.database().increment("a", 1, 1, some_day);
    node.database().fence({3, 1, 0}, node.database().database_id());
    Client client(node.port());
    CHECK(contains(health_of(node), "karma promote --force"));
    const json::value refused = client.ask("replication.promote");
    CHECK(member(refused, "error_code") == json::value("validation_error"));
    CHECK(contains(std::string(member(refused, "response").as_string()), "--force"));
    CHECK(as_number(member(client.call("replication.promote", {{"force", true}}), "epoch")) == 4);
    CHECK(node.database().role() == Role::master);
    node.database().increment("a", 1, 1, some_day);
    CHECK(health_of(node) == "ok");
}

TEST_CASE("promises: a node that does not answer holds up a promotion for a bounded time") {
    MemoryStorage storages[3];
    const TempDir directory;
    auto master = std::make_unique<InProcessNode>(storages[0]);
    master->database().increment("a", 1, 1, some_day);
    InProcessNode one(storages[1], slave_options(), following(master->port(), directory));
    // Whoever connects there is never answered.
    Proxy silent(free_port());
    silent.hold(true, true);
    HandMadeFollower other(master->port(), [&](net::Subscription& self) {
        self.name = "silent";
        self.port = silent.port();
    });
    // Who acknowledges before it has the whole state is dropped.
    REQUIRE(comes_true([&] { return has_heard_something(other) && other.has_state; }));
    other.acknowledge(master->database().durable_lsn());
    REQUIRE(comes_true([&] {
        // First, each time: who is silent for too long is dropped too, and nobody hears of it.
        if (!has_heard_something(other)) return false;
        const auto life = one.node().heard();
        return life && !life->others.empty();
    }));
    master.reset();
    Client client(one.port());
    const json::value promoted = client.call("replication.promote");
    CHECK(member(promoted, "without_promise") == json::value(json::array{"silent"}));
}

}  // namespace karma::test
