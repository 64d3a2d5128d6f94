// What comes in between: a change of role while something else takes long, and a log with a hole in it.
#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "engine/error.h"
#include "net/client_connection.h"
#include "tests/persist/faulty_storage.h"
#include "tests/replica/hand_made_follower.h"
#include "tests/replica/in_process.h"
#include "tests/support/comes_true.h"
#include "tests/support/port.h"
#include "tests/support/proxy.h"
#include "tests/support/values.h"

namespace karma::test {
namespace {

// Comparisons of digests that never end, more of them than there are threads for administration.
class EndlessComparisons {
public:
    explicit EndlessComparisons(std::uint16_t port) {
        for (int i = 0; i < 8; ++i) {
            threads_.emplace_back([port] {
                try {
                    Client(port).ask("replication.verify");
                } catch (const std::exception&) {  // the node ends before it answers
                }
            });
        }
    }

private:
    std::vector<std::jthread> threads_;
};

// Calls something before it is cleared, which is when a state is put in its place.
class ClearedStorage final : public ForwardingStorage {
public:
    using ForwardingStorage::ForwardingStorage;

    void clear(std::span<const RecordChange> records) override {
        if (on_clear) on_clear();
        ForwardingStorage::clear(records);
    }

    std::function<void()> on_clear;
};

// Nobody answers for one port, as where its host's name is not resolved, until the caller gives up.
class SlowNetwork final : public replica::Network {
public:
    explicit SlowNetwork(std::uint16_t slow_port) : slow_port_(slow_port) {}

    std::unique_ptr<replica::LineClient> connect(const replica::Peer& peer) override {
        if (peer.port != slow_port_) return replica::machine_network().connect(peer);
        while (peer.stop == nullptr || !*peer.stop) std::this_thread::sleep_for(Milliseconds(1));
        throw net::ConnectionError("given up");
    }

private:
    const std::uint16_t slow_port_;
};

bool follows(InProcessNode& node, Lsn lsn) {
    return comes_true([&] {
        return node.database().durable_lsn() == lsn && node.node().statistics().state == "streaming";
    });
}

// A master whose log was switched off for some writes, and on again.
struct HoleInLog {
    MemoryStorage storage;
    ReservedPort port;
    std::unique_ptr<InProcessNode> node;

    void start(bool has_log = true) {
        node.reset();
        DatabaseOptions options;
        options.wal = has_log;
        node = std::make_unique<InProcessNode>(storage, options, replica::NodeOptions(), port.number());
    }
    void write() { node->database().increment("a", 1, 1, some_day); }
    // Events that are in no log.
    void make_hole() {
        start(false);
        write();
        write();
        node->database().save_snapshot();
        node.reset();
    }
};

std::uint64_t sum_at(InProcessNode& node) { return node.database().sum("a", 1); }

}  // namespace

TEST_CASE("disruption: an epoch is taken note of while all threads for administration are busy") {
    MemoryStorage storage;
    InProcessNode master(storage);
    HandMadeFollower follower(master.port());
    REQUIRE(follower.reply.accepted);
    follower.acknowledge(0);
    std::atomic<bool> is_over{false};
    // It is there all the time, and never says what it has.
    std::jthread alive([&] {
        try {
            while (!is_over) follower.hear([](const replica::Life&) { return true; });
        } catch (const replica::ChannelError&) {  // the master is none any more
        }
    });
    REQUIRE(comes_true([&] {
        const auto followers = master.node().statistics().followers;
        return !followers.empty() && followers.front().state == "streaming";
    }));
    const EndlessComparisons busy(master.port());
    CHECK(comes_true([&] { return follower.is_compared.load(); }));
    Client client(master.port());
    CHECK(member(client.call("replication.fence", {{"epoch", 5}, {"epoch_id", 1}}), "epoch") ==
          json::value(5));
    CHECK(client.error_of("counter.increment", {{"series", "a"}, {"key", 1}}) == "replication_error");
    is_over = true;
}

TEST_CASE("disruption: a follower is promoted while all threads for administration are busy") {
    MemoryStorage storages[2];
    const TempDir directory;
    InProcessNode master(storages[0]);
    master.database().increment("a", 1, 1, some_day);
    Proxy network(master.port());
    replica::NodeOptions options = following(network.port(), directory);
    options.follower->timeout = std::chrono::hours(1);
    InProcessNode slave(storages[1], slave_options(), options);
    REQUIRE(follows(slave, 1));
    network.hold(true, true);
    const EndlessComparisons busy(slave.port());
    Client client(slave.port());
    CHECK(as_number(member(client.call("replication.promote", {{"force", true}}), "epoch")) == 1);
    CHECK(slave.database().role() == Role::master);
    network.let_through();
}

TEST_CASE("disruption: a follower behind a hole in its master's log gets the state, and goes on") {
    HoleInLog master;
    MemoryStorage storage;
    const TempDir directory;
    master.start();
    master.write();
    InProcessNode slave(storage, slave_options(), following(master.port.number(), directory));
    REQUIRE(follows(slave, 1));
    SUBCASE("that begins after its last event") {}
    SUBCASE("that begins before it was there again") {
        master.write();
        REQUIRE(follows(slave, 2));
    }
    master.make_hole();
    master.start();
    master.write();
    const std::uint64_t expected = sum_at(*master.node);
    CHECK(comes_true([&] {
        return slave.node().statistics().state == "streaming" &&
               slave.database().durable_lsn() == master.node->database().durable_lsn();
    }));
    CHECK(sum_at(slave) == expected);
    CHECK(slave.database().digest() == master.node->database().digest());
    master.write();
    CHECK(comes_true([&] { return sum_at(slave) == expected + 1; }));
}

TEST_CASE("disruption: nobody is promoted while a state is put in the place of what he has") {
    HoleInLog master;
    MemoryStorage storage;
    ClearedStorage watched(storage);
    const TempDir directory;
    master.start();
    master.write();
    InProcessNode slave(watched, slave_options(), following(master.port.number(), directory));
    REQUIRE(follows(slave, 1));
    std::vector<std::jthread> threads;
    std::vector<std::string> answers;
    watched.on_clear = [&] {
        for (const bool is_forced : {false, true}) {
            const auto answer = std::make_shared<std::promise<std::string>>();
            std::future<std::string> answered = answer->get_future();
            threads.emplace_back([&slave, is_forced, answer] {
                try {
                    slave.node().promote(is_forced);
                    answer->set_value("promoted");
                } catch (const RequestError& failure) {
                    answer->set_value(failure.what());
                }
            });
            // What waits until the state is in place waits for this.
            const bool is_there = answered.wait_for(patience()) == std::future_status::ready;
            answers.push_back(is_there ? answered.get() : "none");
        }
    };
    master.make_hole();
    master.start();
    master.write();
    CHECK(comes_true([&] { return slave.database().durable_lsn() == 4; }));
    threads.clear();
    REQUIRE(answers.size() == 2);
    for (const std::string& answer : answers) CHECK(contains(answer, "is taking its source's state"));
    CHECK(slave.database().role() == Role::slave);
    CHECK(slave.database().digest() == master.node->database().digest());
    CHECK(slave.database().epochs().empty());
}

TEST_CASE("disruption: a name that is not resolved holds up a promotion for a bounded time, and is named") {
    MemoryStorage storages[2];
    const TempDir directory;
    const std::uint16_t nowhere = free_port();
    SlowNetwork network(nowhere);
    auto master = std::make_unique<InProcessNode>(storages[0]);
    InProcessNode one(storages[1], slave_options(), following(master->port(), directory), 0, {},
                      {replica::machine_runtime(), network});
    HandMadeFollower other(master->port(), [&](net::Subscription& self) {
        self.name = "unknown host";
        self.port = nowhere;
    });
    other.acknowledge(0);
    master->database().increment("a", 1, 1, some_day);
    REQUIRE(comes_true([&] {
        other.hear([](const replica::Life&) { return true; });
        const auto life = one.node().heard();
        return follows(one, 1) && life && !life->others.empty();
    }));
    master.reset();
    Client client(one.port());
    const json::value promoted = client.call("replication.promote");
    CHECK(member(promoted, "without_promise") == json::value(json::array{"unknown host"}));
    CHECK(one.database().role() == Role::master);
}

}  // namespace karma::test
