// Who is told of an epoch: a master of an earlier one has to learn of it, whoever knows it.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "engine/identity.h"
#include "net/client_connection.h"
#include "replica/announcer.h"
#include "replica/peers.h"
#include "tests/replica/hand_made_follower.h"
#include "tests/replica/in_process.h"
#include "tests/support/comes_true.h"
#include "tests/support/fake_server.h"
#include "tests/support/port.h"
#include "tests/support/values.h"

namespace karma::test {
namespace {

// Time that passes at once where somebody waits for it, up to an end.
class SkippingTime final : public replica::Runtime {
public:
    explicit SkippingTime(std::chrono::hours end) : end_(end) {}

    replica::Clock::time_point now() const noexcept override {
        return replica::Clock::time_point(Milliseconds(passed_));
    }
    std::unique_ptr<replica::Thread> start_thread(std::function<void()> work) override {
        return replica::machine_runtime().start_thread(std::move(work));
    }
    std::unique_ptr<replica::Condition> make_condition() override {
        return std::make_unique<Waiting>(*this, replica::machine_runtime().make_condition());
    }
    bool is_over() const { return passed_ >= end_.count(); }

private:
    class Waiting final : public replica::Condition {
    public:
        Waiting(SkippingTime& time, std::unique_ptr<replica::Condition> real)
            : time_(time), real_(std::move(real)) {}
        void notify_all() noexcept override { real_->notify_all(); }
        void wait(std::unique_lock<std::mutex>& lock, std::optional<Milliseconds> time) override {
            if (time && !time_.is_over()) {
                time_.passed_ += time->count();
            } else {
                real_->wait(lock);
            }
        }

    private:
        SkippingTime& time_;
        std::unique_ptr<replica::Condition> real_;
    };

    const Milliseconds end_;
    std::atomic<std::int64_t> passed_{0};
};

// Where nobody answers; counts who was asked.
class SilentNetwork final : public replica::Network {
public:
    std::unique_ptr<replica::LineClient> connect(const replica::Peer& peer) override {
        const std::lock_guard lock(mutex_);
        ++asked_[peer.port];
        throw net::ConnectionError("nobody is there");
    }
    int asked(std::uint16_t port) const {
        const std::lock_guard lock(mutex_);
        const auto found = asked_.find(port);
        return found == asked_.end() ? 0 : found->second;
    }

private:
    mutable std::mutex mutex_;
    std::map<std::uint16_t, int> asked_;
};

using replica::KnownNode;
using replica::Peers;

// Whether a node keeps that another one can be asked under this port.
bool knows(InProcessNode& node, std::uint16_t port) {
    const std::string kept = node.database().read_note(peers_note).value_or("");
    return contains(kept, "\"port\":" + std::to_string(port) + ",") ||
           contains(kept, "\"port\":" + std::to_string(port) + "}");
}

bool has_event(InProcessNode& node, Lsn lsn) {
    return comes_true([&] {
        return node.database().durable_lsn() == lsn && node.node().statistics().state == "streaming";
    });
}

bool is_fenced(InProcessNode& node) {
    return comes_true([&] { return node.database().role() == Role::fenced; });
}

// It was master, and goes back to what its options say.
bool is_slave(InProcessNode& node) {
    return comes_true([&] { return node.database().role() == Role::slave; });
}

json::object announcement(std::uint64_t epoch, json::object more = {}) {
    more["epoch"] = epoch;
    more["epoch_id"] = 7;
    return more;
}

std::optional<KnownNode> beginner_kept_by(InProcessNode& node, std::uint64_t epoch) {
    net::Log log{net::LogLevel::warning};
    return Peers(node.database(), log).beginner_of({epoch, 7, 0});
}

}  // namespace

TEST_CASE("announcements: who began an epoch behind a chain is told of a later one that begins elsewhere") {
    MemoryStorage storages[3];
    const TempDir directory;
    const ReservedPort port;
    auto first = std::make_unique<InProcessNode>(storages[0], DatabaseOptions(), replica::NodeOptions(),
                                                 port.number());
    first->database().increment("a", 1, 1, some_day);
    auto middle =
        std::make_unique<InProcessNode>(storages[1], slave_options(), following(first->port(), directory));
    InProcessNode last(storages[2], slave_options(), following(middle->port(), directory));
    REQUIRE(has_event(last, 1));
    last.node().promote(true);
    REQUIRE(is_fenced(*first));
    // Told by the one between, which may not be there any more.
    CHECK(comes_true([&] { return knows(*first, last.port()); }));
    middle.reset();
    SUBCASE("at once") {}
    SUBCASE("after a restart") {
        first.reset();
        first = std::make_unique<InProcessNode>(storages[0], DatabaseOptions(), replica::NodeOptions(),
                                                port.number());
        REQUIRE(first->database().role() == Role::fenced);
    }
    first->node().promote(true);
    CHECK(is_slave(last));
    CHECK(first->database().role() == Role::master);
}

TEST_CASE("announcements: of two masters one stays, where only a node between knows both") {
    MemoryStorage storages[3];
    const TempDir directory;
    const ReservedPort port;
    auto middle = std::make_unique<InProcessNode>(storages[0]);
    middle->database().increment("a", 1, 1, some_day);
    {
        InProcessNode one(storages[1], slave_options(), following(middle->port(), directory), port.number());
        REQUIRE(has_event(one, 1));
    }
    middle.reset();
    // It has no source: nobody but itself says anything of it.
    middle = std::make_unique<InProcessNode>(storages[0], slave_options());
    SUBCASE("and is told of the later epoch while it runs") {
        InProcessNode one(storages[1], {}, {}, port.number());
        REQUIRE(one.database().role() == Role::master);
        Client(middle->port()).call("replication.fence", announcement(9));
        CHECK(is_fenced(one));
    }
    SUBCASE("and was told of it before its own restart") {
        Client(middle->port()).call("replication.fence", announcement(9));
        middle.reset();
        InProcessNode one(storages[1], {}, {}, port.number());
        REQUIRE(one.database().role() == Role::master);
        middle = std::make_unique<InProcessNode>(storages[0], slave_options());
        CHECK(is_fenced(one));
    }
}

TEST_CASE("announcements: a follower of a follower tells those that its source has heard of") {
    MemoryStorage storages[4];
    const TempDir directory;
    InProcessNode first(storages[0]);
    first.database().increment("a", 1, 1, some_day);
    auto middle =
        std::make_unique<InProcessNode>(storages[1], slave_options(), following(first.port(), directory));
    InProcessNode sibling(storages[2], slave_options(), following(first.port(), directory));
    REQUIRE(has_event(*middle, 1));
    REQUIRE(has_event(sibling, 1));
    InProcessNode last(storages[3], slave_options(), following(middle->port(), directory));
    REQUIRE(has_event(last, 1));
    CHECK(comes_true([&] { return knows(last, first.port()) && knows(last, sibling.port()); }));
    CHECK_FALSE(knows(last, last.port()));
    middle.reset();
    last.node().promote(true);
    CHECK(is_fenced(first));
    CHECK(comes_true([&] { return sibling.database().known_epoch().number == 1; }));
}

TEST_CASE("announcements: where the node that began an epoch can be asked is kept") {
    MemoryStorage storage;
    InProcessNode node(storage);
    Client client(node.port());
    const auto tell = [&](const json::object& fields) {
        const json::value reply = client.call("replication.fence", fields);
        CHECK(member(reply, "epoch") == json::value(5));
        return beginner_kept_by(node, 5);
    };
    const std::string id = node_id_text(77);
    SUBCASE("under the address that it tells") {
        const KnownNode expected{{77, "b"}, "10.0.0.7", 8081};
        const json::object fields{{"node_id", id}, {"name", "b"}, {"host", "10.0.0.7"}, {"port", 8081}};
        CHECK(tell(announcement(5, fields)) == expected);
        // Whoever passes it on, and tells nothing, takes nothing away.
        CHECK(tell(announcement(5)) == expected);
    }
    SUBCASE("under the address of the connection, where it tells none") {
        const KnownNode expected{{77, "b"}, "127.0.0.1", 8081};
        CHECK(tell(announcement(5, {{"node_id", id}, {"name", "b"}, {"port", 8081}})) == expected);
    }
    SUBCASE("of an earlier version, which tells nothing of itself, nothing is kept") {
        CHECK_FALSE(tell(announcement(5)).has_value());
        CHECK_FALSE(node.database().read_note(peers_note).has_value());
    }
    SUBCASE("itself is none") {
        const json::object fields{{"node_id", node_id_text(node.database().node_id())}, {"port", 8081}};
        CHECK_FALSE(tell(announcement(5, fields)).has_value());
    }
    SUBCASE("of another database nothing is kept") {
        const json::object fields{{"port", 8081}, {"database_id", std::string(32, '5')}};
        CHECK(client.error_of("replication.fence", announcement(5, fields)) == "replication_error");
        CHECK_FALSE(node.database().read_note(peers_note).has_value());
    }
    SUBCASE("a port that is none is refused") {
        CHECK(client.error_of("replication.fence", announcement(5, {{"port", 65536}})) == "validation_error");
    }
}

TEST_CASE("announcements: the nodes that are known have a limit, at which those that were told of go first") {
    MemoryStorage storage;
    InProcessNode node(storage);
    net::Log log{net::LogLevel::warning};
    const auto at = [](std::uint16_t port) { return KnownNode{{port, "n"}, "10.0.0.1", port}; };
    Peers peers(node.database(), log);
    int changes = 0;
    peers.on_change([&changes] { ++changes; });
    peers.note(at(1));
    std::vector<KnownNode> told;
    for (std::uint16_t i = 100; i < 200; ++i) told.push_back(at(i));
    peers.note_told(told);
    REQUIRE(peers.all().size() == Peers::peers_max);
    CHECK(peers.all().front() == at(1));
    CHECK(changes == 2);
    for (std::uint16_t i = 2; i <= Peers::peers_max; ++i) peers.note(at(i));
    CHECK(peers.all().front() == at(1));
    // Nothing that is only told of takes the place of what this node has dealt with.
    peers.note_told(told);
    CHECK(peers.all().front() == at(1));
    CHECK(peers.all().size() == Peers::peers_max);
    peers.note(at(65));
    CHECK(peers.all().front() == at(2));
    // Another node that is told of at a known place is passed over; one that is there itself is not.
    peers.note_told({{{500, "x"}, "10.0.0.1", 65}});
    CHECK(peers.all().back() == at(65));
    peers.note_beginner({{500, "x"}, "10.0.0.1", 65}, {4, 4, 0});
    CHECK(peers.all().back().node.id == 500);
    // It is somewhere else now.
    peers.note({{500, "x"}, "10.0.0.1", 66});
    CHECK(peers.all().size() == Peers::peers_max);
    const Peers again(node.database(), log);
    CHECK(again.all() == peers.all());
}

TEST_CASE(
    "announcements: counted followers are kept where too many nodes are known, and the log names the "
    "others") {
    MemoryStorage storage;
    InProcessNode node(storage);
    std::vector<std::string> lines;
    net::Log log([&lines](const std::string& line) { lines.push_back(line); });
    const auto at = [](std::uint16_t port) { return KnownNode{{port, "n"}, "10.0.0.1", port}; };
    Peers peers(node.database(), log);
    peers.on_whether_counted([](NodeId id) { return id <= 2; });
    peers.note(at(1));
    peers.note_told({at(2)});
    for (std::uint16_t port = 3; port <= Peers::peers_max + 1; ++port) peers.note(at(port));
    const std::vector<KnownNode> kept = peers.all();
    REQUIRE(kept.size() == Peers::peers_max);
    CHECK(kept[0] == at(1));
    CHECK(kept[1] == at(2));
    CHECK(kept[2] == at(4));
    REQUIRE(lines.size() == 1);
    CHECK(contains(lines.front(), "peer_forgotten"));
    CHECK(contains(lines.front(), "10.0.0.1:3"));
}

TEST_CASE("announcements: a node that is gone is asked for ever, but not often, and the log says it once") {
    MemoryStorage storage;
    InProcessNode node(storage);
    std::mutex mutex;
    std::vector<std::string> lines;
    net::Log log([&](const std::string& line) {
        const std::lock_guard lock(mutex);
        lines.push_back(line);
    });
    Peers peers(node.database(), log);
    peers.note({{70, "gone"}, "10.0.0.1", 70});
    const auto named_epoch = [&](std::uint64_t number) {
        node.database().fence({number, 1, 0}, node.database().database_id());
    };
    named_epoch(3);
    constexpr int hours = 24;
    SkippingTime time{std::chrono::hours(hours)};
    SilentNetwork network;
    replica::Announcer announcer(node.database(), log, peers, {time, network}, "");
    announcer.start({{node.database().node_id(), "n"}, {}, 1});
    REQUIRE(comes_true([&] { return time.is_over(); }));
    // Every five minutes, and more often at first only.
    constexpr int every_five_minutes = hours * 12;
    CHECK(network.asked(70) >= every_five_minutes);
    CHECK(network.asked(70) <= every_five_minutes + 20);
    // One that becomes known is told at once.
    peers.note({{71, "new"}, "10.0.0.1", 71});
    announcer.on_peer();
    CHECK(comes_true([&] { return network.asked(71) == 1; }));
    // All are told of a new epoch at once.
    const int before = network.asked(70);
    named_epoch(4);
    announcer.on_epoch();
    CHECK(comes_true([&] { return network.asked(70) == before + 1; }));
    announcer.stop();
    const std::lock_guard lock(mutex);
    REQUIRE(lines.size() == 1);
    CHECK(contains(lines.front(), "epoch_not_announced"));
    CHECK(contains(lines.front(), "10.0.0.1:70"));
}

TEST_CASE("announcements: a node that holds no database yet is told again, when it may have one") {
    MemoryStorage storage;
    InProcessNode node(storage);
    FakeServer without([](std::size_t, const std::string&) {
        return FakeAnswer{success_reply(R"({"role":"slave","epoch":0,"epoch_id":0})")};
    });
    Client(node.port())
        .call("replication.fence",
              announcement(5, {{"node_id", node_id_text(77)}, {"port", without.port()}}));
    CHECK(without.wait_for_requests(2));
}

TEST_CASE("announcements: a source on its own machine is where its follower asks it") {
    const auto seen = replica::placed({{{1, "a"}, "127.0.0.1", 1},
                                       {{2, "b"}, "::1", 2},
                                       {{3, "c"}, "localhost", 3},
                                       {{4, "d"}, "10.0.0.4", 4},
                                       {{5, "e"}, "e.example", 5}},
                                      "10.0.0.9");
    std::vector<std::string> hosts;
    for (const KnownNode& node : seen) hosts.push_back(node.host);
    CHECK(hosts == std::vector<std::string>{"10.0.0.9", "10.0.0.9", "10.0.0.9", "10.0.0.4", "e.example"});
}

}  // namespace karma::test
