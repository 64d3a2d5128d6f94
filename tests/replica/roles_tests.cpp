// What nodes tell each other of their roles: chains without a master, refusals, silence, and who counts.
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "engine/checksum.h"
#include "engine/error.h"
#include "engine/identity.h"
#include "net/client_connection.h"
#include "net/resolver.h"
#include "replica/channel.h"
#include "replica/handshake.h"
#include "replica/life.h"
#include "replica/source_watch.h"
#include "tests/persist/faulty_storage.h"
#include "tests/replica/hand_made_follower.h"
#include "tests/replica/in_process.h"
#include "tests/support/comes_true.h"
#include "tests/support/fake_server.h"
#include "tests/support/port.h"
#include "tests/support/proxy.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

std::string health(InProcessNode& node) {
    Client client(node.port());
    return std::string(member(client.call("system.health"), "status").as_string());
}

json::value status(InProcessNode& node, const char* name) {
    Client client(node.port());
    return member(client.call("replication.status"), name);
}

std::string state(InProcessNode& node) { return node.node().statistics().state; }

// Whether it was told of another follower that can be asked.
bool knows_another(InProcessNode& node) {
    const std::optional<replica::Life> life = node.node().heard();
    return life && !life->others.empty() && life->others.front().port != 0;
}

replica::NodeOptions quick(replica::NodeOptions options, Milliseconds timeout = Milliseconds(400)) {
    options.source.timeout = timeout;
    if (options.follower) options.follower->timeout = timeout;
    return options;
}

}  // namespace

// ---- refusals

TEST_CASE("roles: each refusal is said, in a line, before the connection is closed") {
    MemoryStorage storage;
    replica::NodeOptions options;
    options.source.followers_max = 1;
    InProcessNode master(storage, {}, options);
    const HandMadeFollower first(master.port());
    REQUIRE(first.reply.accepted);
    SUBCASE("too many followers") {
        const HandMadeFollower second(master.port(), [](net::Subscription& self) {
            self.name = "second";
            self.node_id = 78;
        });
        CHECK_FALSE(second.reply.accepted);
        CHECK(contains(second.reply.message, "--replication-followers-max"));
    }
    SUBCASE("a name that another node has") {
        const HandMadeFollower second(master.port(), [](net::Subscription& self) { self.node_id = 78; });
        CHECK_FALSE(second.reply.accepted);
        CHECK(contains(second.reply.message, "--replication-name"));
        CHECK(master.node().statistics().followers.size() == 1);
    }
    SUBCASE("the node itself") {
        const HandMadeFollower second(master.port(), [&](net::Subscription& self) {
            self.name = "second";
            self.node_id = master.database().node_id();
        });
        CHECK_FALSE(second.reply.accepted);
        CHECK(contains(second.reply.message, "itself"));
    }
    SUBCASE("a node that ends") {
        master.node().subscriptions().stop();
        const HandMadeFollower second(master.port(), [](net::Subscription& self) { self.name = "second"; });
        CHECK_FALSE(second.reply.accepted);
        CHECK(contains(second.reply.message, "stopping"));
    }
}

TEST_CASE("roles: a follower shows at once why it is refused, and is not said to have lost a master") {
    MemoryStorage storages[3];
    const TempDir directory;
    replica::NodeOptions options;
    options.source.followers_max = 1;
    InProcessNode master(storages[0], {}, options);
    InProcessNode one(storages[1], slave_options(), following(master.port(), directory));
    REQUIRE(comes_true([&] { return state(one) == "streaming"; }));
    replica::NodeOptions fails_over = following(master.port(), directory);
    fails_over.follower->failover_timeout = Milliseconds(60);
    fails_over.failover_unsafe = true;
    InProcessNode two(storages[2], slave_options(), fails_over);
    REQUIRE(comes_true([&] { return state(two) == "refused"; }));
    CHECK(contains(health(two), "the master refuses: there are too many followers"));
    // A refusal is no silence, however often it is repeated.
    std::this_thread::sleep_for(Milliseconds(300));
    CHECK(two.database().role() == Role::slave);
    CHECK(master.database().role() == Role::master);
    CHECK(state(two) == "refused");
}

TEST_CASE("roles: two followers of one name: the first stays, the second is told") {
    MemoryStorage storages[3];
    const TempDir directory;
    InProcessNode master(storages[0]);
    replica::NodeOptions options = following(master.port(), directory);
    options.follower->name = "twin";
    InProcessNode one(storages[1], slave_options(), options);
    REQUIRE(comes_true([&] { return state(one) == "streaming"; }));
    InProcessNode two(storages[2], slave_options(), options);
    REQUIRE(comes_true([&] { return state(two) == "refused"; }));
    CHECK(contains(health(two), "another node follows as \"twin\""));
    CHECK(state(one) == "streaming");
    CHECK(one.node().statistics().polls.attempts == 1);
}

TEST_CASE("roles: a node that follows itself, or is in a ring, says so") {
    MemoryStorage storages[2];
    const TempDir directory;
    const ReservedPort port;
    {
        InProcessNode once(storages[0]);
        once.database().increment("a", 1, 1, some_day);
    }
    SUBCASE("itself") {
        InProcessNode node(storages[0], slave_options(), following(port.number(), directory), port.number());
        REQUIRE(comes_true([&] { return state(node) == "refused"; }));
        CHECK(contains(health(node), "itself"));
    }
    SUBCASE("a ring") {
        {
            InProcessNode first(storages[0]);
            InProcessNode second(storages[1], slave_options(), following(first.port(), directory));
            REQUIRE(comes_true([&] { return second.database().durable_lsn() == 1; }));
        }
        InProcessNode one(storages[0], slave_options(), following(port.number(), directory));
        InProcessNode two(storages[1], slave_options(), following(one.port(), directory), port.number());
        REQUIRE(comes_true([&] { return contains(health(one), "ring") || contains(health(two), "ring"); }));
        CHECK(state(one) != "streaming");
        CHECK(state(two) != "streaming");
    }
}

// ---- chains

TEST_CASE("roles: who follows a follower without a master knows so, and does not take its place") {
    MemoryStorage storages[3];
    const TempDir directory;
    auto master = std::make_unique<InProcessNode>(storages[0]);
    master->database().increment("a", 1, 1, some_day);
    InProcessNode middle(storages[1], slave_options(), quick(following(master->port(), directory)));
    replica::NodeOptions options = quick(following(middle.port(), directory));
    options.follower->failover_timeout = Milliseconds(100);
    options.failover_unsafe = true;
    InProcessNode last(storages[2], slave_options(), options);
    REQUIRE(comes_true([&] { return state(last) == "streaming"; }));
    CHECK(health(last) == "ok");
    CHECK(contains(std::string(status(last, "replication_chain").as_string()), " > "));
    master.reset();
    REQUIRE(comes_true([&] { return state(last) == "no_master"; }));
    CHECK(contains(health(last), "the source is no way to a master"));
    CHECK(last.database().role() == Role::slave);
    CHECK(status(last, "replication_seconds_since_master_heard").as_double() > 0.3);
}

TEST_CASE("roles: a fenced node says so to those that follow it, and takes no new ones") {
    MemoryStorage storages[2];
    const TempDir directory;
    InProcessNode master(storages[0]);
    master.database().increment("a", 1, 1, some_day);
    InProcessNode slave(storages[1], slave_options(), following(master.port(), directory));
    REQUIRE(comes_true([&] { return state(slave) == "streaming"; }));
    master.database().fence({5, 1, 0}, master.database().database_id());
    REQUIRE(comes_true([&] { return state(slave) == "refused"; }));
    CHECK(contains(health(slave), "fenced"));
    const HandMadeFollower another(master.port());
    CHECK_FALSE(another.reply.accepted);
    CHECK(contains(another.reply.message, "fenced"));
}

TEST_CASE("roles: an empty follower takes no followers: they would have nothing either") {
    MemoryStorage storages[2];
    const TempDir directory;
    InProcessNode empty(storages[0], slave_options(), following(free_port(), directory));
    {
        InProcessNode once(storages[1]);
        once.database().increment("a", 1, 1, some_day);
    }
    InProcessNode last(storages[1], slave_options(), following(empty.port(), directory));
    REQUIRE(comes_true([&] { return state(last) == "refused"; }));
    CHECK(contains(health(last), "empty"));
    CHECK(last.database().durable_lsn() == 1);
}

TEST_CASE("roles: a chain behind an empty master comes up before the first write") {
    MemoryStorage storages[4];
    const TempDir directory;
    InProcessNode master(storages[0]);
    InProcessNode middle(storages[1], slave_options(), following(master.port(), directory));
    InProcessNode last(storages[2], slave_options(), following(middle.port(), directory));
    InProcessNode behind(storages[3], slave_options(), following(last.port(), directory));
    REQUIRE(comes_true([&] { return state(behind) == "streaming"; }));
    for (InProcessNode* const node : {&middle, &last, &behind}) {
        CHECK(health(*node) == "ok");
        CHECK(node->database().database_id() == master.database().database_id());
    }
    master.database().increment("a", 1, 1, some_day);
    REQUIRE(comes_true([&] { return behind.database().durable_lsn() == 1; }));
    CHECK(behind.database().digest() == master.database().digest());
    CHECK(state(behind) == "streaming");
}

TEST_CASE("roles: a follower without a source says so") {
    MemoryStorage storage;
    InProcessNode node(storage, slave_options());
    CHECK(contains(health(node), "without a source"));
}

// ---- doubt

TEST_CASE(
    "roles: who follows a node that can make nothing durable any more says so, and is in sync with it") {
    MemoryStorage storages[3];
    const TempDir directory;
    FaultyStorage faulty(storages[0]);
    InProcessNode master(faulty);
    master.database().increment("a", 1, 1, some_day);
    InProcessNode slave(storages[1], slave_options(), quick(following(master.port(), directory)));
    InProcessNode last(storages[2], slave_options(), quick(following(slave.port(), directory)));
    REQUIRE(comes_true([&] { return state(last) == "streaming"; }));
    CHECK(health(last) == "ok");
    faulty.fail_after(0, 1'000'000);
    CHECK_THROWS(master.database().increment("a", 1, 1, some_day));
    REQUIRE(master.database().has_failed());
    const auto tells = [](InProcessNode& node) {
        return comes_true([&] { return contains(health(node), "can make nothing durable any more"); });
    };
    CHECK(tells(slave));
    CHECK(tells(last));
    // It is there, with all that it has acknowledged.
    CHECK(state(slave) == "streaming");
    CHECK(state(last) == "streaming");
    SUBCASE("and takes over what is durable there") {
        HandMadeFollower another(master.port(), [&](net::Subscription& self) {
            self.is_empty = false;
            self.after_lsn = 1;
            self.checksum = master.database().mark_at(1).checksum;
            self.database_id = master.database().database_id();
        });
        CHECK(another.reply.accepted);
        CHECK(another.hear([](const replica::Life& life) { return !life.failure.empty(); }));
    }
    SUBCASE("and is told where that does not help: the state there is not durable") {
        const HandMadeFollower another(master.port());
        CHECK_FALSE(another.reply.accepted);
        CHECK(another.reply.reason == "failed");
    }
    SUBCASE("and can be promoted") { CHECK(slave.node().promote().epoch.number == 1); }
}

TEST_CASE("roles: what cannot be known while the master is not there is not shown as a number") {
    MemoryStorage storages[2];
    const TempDir directory;
    auto master = std::make_unique<InProcessNode>(storages[0]);
    master->database().increment("a", 1, 1, some_day);
    InProcessNode slave(storages[1], slave_options(), quick(following(master->port(), directory)));
    REQUIRE(comes_true([&] { return state(slave) == "streaming"; }));
    CHECK(status(slave, "replication_lag_entries") == json::value(0));
    CHECK(health(slave) == "ok");
    master.reset();
    REQUIRE(comes_true([&] { return status(slave, "replication_lag_entries").is_null(); }));
    CHECK(status(slave, "replication_lag_seconds").is_null());
    CHECK(status(slave, "replication_seconds_since_heard").is_double());
    REQUIRE(comes_true([&] { return contains(health(slave), "not connected to the source for "); }));
    Client client(slave.port());
    CHECK(member(client.call("system.stats"), "replication_lag_entries").is_null());
    const std::string metrics(client.call("system.metrics").as_string());
    CHECK(contains(metrics, "karma_replication_alarm 1\n"));
    CHECK(contains(metrics, "karma_replication_lag_entries 0\n"));
    CHECK(contains(metrics, "karma_replication_seconds_since_heard "));
}

TEST_CASE("roles: what a broken stream has brought is durable, though the rest of it is garbage") {
    MemoryStorage source_storage;
    std::string frames;
    {
        InProcessNode source(source_storage);
        source.database().increment("a", 1, 1, some_day);
        source.database().read_log(1, [&](const EventGroup& group) {
            replica::SubscribeReply reply;
            reply.accepted = true;
            frames = replica::reply_line(reply);
            std::string frame;
            frame.push_back(3);
            const auto append = [&frame](std::uint64_t number) {
                for (int shift = 24; shift >= 0; shift -= 8)
                    frame.push_back(static_cast<char>(number >> shift));
            };
            append(group.bytes.size());
            append(crc32_of(group.bytes));
            frames += frame + std::string(group.bytes);
            frames += std::string("\x63\0\0\0\0\0\0\0\0", 9);  // a frame that is none of a master
            return false;
        });
    }
    std::atomic<Database*> taker{nullptr};
    std::atomic<bool> was_sent{false};
    FakeServer master([&](std::size_t, const std::string&) {
        comes_true([&] { return taker.load() != nullptr; });
        return was_sent.exchange(true) ? FakeAnswer{"", true} : FakeAnswer{frames, false};
    });
    MemoryStorage storage;
    const TempDir directory;
    // When the stream is known to be lost: what begins the next one comes later.
    std::atomic<Lsn> durable_when_lost{0};
    const auto note_loss = [&](const std::string& line) {
        if (contains(line, "\"master_lost\"") && durable_when_lost == 0) {
            durable_when_lost = taker.load()->durable_lsn() + 100;
        }
    };
    InProcessNode slave(storage, slave_options(), following(master.port(), directory), 0, note_loss);
    taker = &slave.database();
    CHECK(comes_true([&] { return durable_when_lost != 0; }));
    CHECK(durable_when_lost == 101);
    CHECK(slave.database().last_lsn() == 1);
}

// ---- slow connections

TEST_CASE("roles: who receives a group for longer than the timeout is waited for") {
    MemoryStorage storage;
    const Milliseconds timeout(400);
    InProcessNode master(storage, {}, quick({}, timeout));
    HandMadeFollower follower(master.port());
    REQUIRE(follower.reply.accepted);
    follower.acknowledge(0);
    REQUIRE(follower.hear([](const replica::Life&) { return true; }));
    // On a thread of its own: this one says all the time that it is alive.
    std::jthread writer([&] {
        std::vector<mutation::Item> items;
        for (std::uint64_t i = 0; i < 1'000'000; ++i) items.push_back({i * 1'000'003, some_day, i + 1});
        master.database().call(Mutation(mutation::BatchAdd{"large", items}));
    });
    while (master.database().durable_lsn() == 0) {
        follower.channel->pump(Milliseconds(5));
        while (follower.channel->next_frame()) {}
        follower.channel->queue_numbers(replica::FrameKind::alive, {follower.channel->bytes_received()});
    }
    // It takes a piece now and then, and acknowledges nothing before it has the whole.
    const auto end = std::chrono::steady_clock::now() + 4 * timeout;
    while (std::chrono::steady_clock::now() < end) {
        follower.channel->pump(Milliseconds(0));
        follower.channel->queue_numbers(replica::FrameKind::alive, {follower.channel->bytes_received()});
        std::this_thread::sleep_for(Milliseconds(50));
    }
    CHECK(master.node().statistics().followers.size() == 1);
    // Who receives nothing any more is not.
    CHECK(comes_true([&] { return master.node().statistics().followers.empty(); }));
}

// ---- acknowledgements

TEST_CASE("roles: who does not sync to a disk does not count, and health says why") {
    MemoryStorage storage;
    InProcessNode master(storage, waiting_for(1), with_acks(1));
    HandMadeFollower follower(master.port(), [](net::Subscription& self) { self.syncs = false; });
    REQUIRE(follower.reply.accepted);
    follower.acknowledge(0);
    write_unacknowledged(master.database());
    REQUIRE(follower.receives(1));
    follower.acknowledge(1);
    REQUIRE(comes_true([&] {
        follower.channel->pump(Milliseconds(1));
        return contains(health(master), "by-hand does not count");
    }));
    CHECK(master.database().acked_lsn() == 0);
}

TEST_CASE(
    "roles: acknowledgements of another generation, or to a node that is no master, count for nothing") {
    MemoryStorage storage;
    InProcessNode node(storage, waiting_for(1), with_acks(1));
    Database& database = node.database();
    const std::uint64_t before = database.generation();
    database.set_acked_lsn(7, before);
    CHECK(database.acked_lsn() == 7);
    database.set_acked_lsn(3, before);
    CHECK(database.acked_lsn() == 7);
    database.fence({1, 1, 0}, database.database_id());
    CHECK(database.generation() != before);
    CHECK(database.acked_lsn() == 0);
    database.set_acked_lsn(9, before);
    database.set_acked_lsn(9, database.generation());
    CHECK(database.acked_lsn() == 0);
}

TEST_CASE("roles: a write that waited while its node was fenced is not acknowledged") {
    MemoryStorage storage;
    DatabaseOptions options;
    options.threads = false;
    options.clock_ms = [] { return std::int64_t{1'780'000'000'000}; };
    const auto database = Database::open(options, storage);
    const std::uint64_t executed_in = database->generation();
    const Request request = Mutation(mutation::Increment{"a", 1, some_day, 1});
    Outcome outcome;
    database->execute(std::span(&request, 1), std::span(&outcome, 1));
    CHECK(database->durable_lsn() == 0);  // in the open commit group
    database->fence({1, 1, 0}, database->database_id());
    database->demote();
    CHECK(database->role() == Role::slave);
    CHECK(database->last_lsn() == 1);
    CHECK(database->durable_lsn() == 1);
    CHECK(database->generation() != executed_in);
}

// ---- failover

TEST_CASE("roles: a follower that hears nothing asks another one before it takes the master's place") {
    MemoryStorage storages[3];
    const TempDir directory;
    InProcessNode master(storages[0]);
    master.database().increment("a", 1, 1, some_day);
    Proxy network(master.port());
    replica::NodeOptions options = following(network.port(), directory);
    options.follower->failover_timeout = Milliseconds(500);
    InProcessNode one(storages[1], slave_options(), options);
    SUBCASE("which hears it") {
        InProcessNode other(storages[2], slave_options(), following(master.port(), directory));
        REQUIRE(comes_true([&] { return state(one) == "streaming" && state(other) == "streaming"; }));
        REQUIRE(comes_true([&] { return knows_another(one); }));
        network.hold(true, true);
        REQUIRE(comes_true([&] { return contains(health(one), "does not take its place"); }));
        CHECK(contains(health(one), "it has heard the master"));
        CHECK(one.database().role() == Role::slave);
    }
    SUBCASE("which does not hear it either") {
        InProcessNode other(storages[2], slave_options(), following(network.port(), directory));
        REQUIRE(comes_true([&] { return state(one) == "streaming" && state(other) == "streaming"; }));
        REQUIRE(comes_true([&] { return knows_another(one); }));
        network.hold(true, true);
        CHECK(comes_true([&] { return one.database().role() == Role::master; }));
    }
    SUBCASE("and there is none") {
        REQUIRE(comes_true([&] { return state(one) == "streaming"; }));
        network.hold(true, true);
        REQUIRE(comes_true([&] { return contains(health(one), "no other follower"); }));
        CHECK(one.database().role() == Role::slave);
        network.let_through();
        CHECK(comes_true([&] { return health(one) == "ok"; }));
    }
}

// ---- announcements

TEST_CASE("roles: of two followers that were promoted at once, whichever are there, one stays") {
    MemoryStorage storages[3];
    const TempDir directory;
    auto master = std::make_unique<InProcessNode>(storages[0]);
    master->database().increment("a", 1, 1, some_day);
    InProcessNode one(storages[1], slave_options(), following(master->port(), directory));
    InProcessNode two(storages[2], slave_options(), following(master->port(), directory));
    REQUIRE(comes_true([&] { return knows_another(one) && knows_another(two); }));
    const auto has_it = [](InProcessNode& node) {
        return node.database().durable_lsn() == 1 && node.node().statistics().state == "streaming";
    };
    REQUIRE(comes_true([&] { return has_it(one) && has_it(two); }));
    // Neither follows the other, and the master is gone: only what they know of each other helps.
    master.reset();
    one.node().promote(true);
    promote_at_last(two);
    CHECK(comes_true([&] {
        const int masters =
            (one.database().role() == Role::master ? 1 : 0) + (two.database().role() == Role::master ? 1 : 0);
        return masters == 1;
    }));
}

TEST_CASE(
    "roles: a node that was promoted announces it after a restart as well, whatever its role option says") {
    MemoryStorage storages[2];
    const TempDir directory;
    const ReservedPort port;
    {
        InProcessNode master(storages[0], {}, {}, port.number());
        master.database().increment("a", 1, 1, some_day);
        InProcessNode slave(storages[1], slave_options(), following(port.number(), directory));
        REQUIRE(comes_true([&] { return slave.database().durable_lsn() == 1; }));
    }
    {
        InProcessNode slave(storages[1], slave_options(), following(port.number(), directory));
        slave.node().promote();
    }
    InProcessNode promoted(storages[1]);
    CHECK(promoted.database().role() == Role::master);
    InProcessNode old(storages[0], {}, {}, port.number());
    CHECK(comes_true([&] { return old.database().role() == Role::fenced; }));
}

TEST_CASE("roles: a name that the resolver does not answer for holds up nobody who is told to end") {
    std::atomic<bool> stop{true};
    CHECK(net::resolve("127.0.0.1", Milliseconds(1), &stop) == std::vector<std::string>{"127.0.0.1"});
    // Whatever the resolver says, and whenever.
    CHECK_THROWS_AS(net::resolve("nobody.invalid", std::chrono::hours(1), &stop), net::ConnectionError);
}

}  // namespace karma::test
