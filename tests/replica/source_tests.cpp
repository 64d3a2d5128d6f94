// What a source notes of its followers: refusals, and those that are forgotten.
#include <atomic>
#include <memory>
#include <string>

#include <doctest/doctest.h>

#include "replica/refusals.h"
#include "tests/replica/hand_made_follower.h"
#include "tests/replica/in_process.h"
#include "tests/support/comes_true.h"
#include "tests/support/values.h"

namespace karma::test {
namespace {

using Change = std::function<void(net::Subscription&)>;

// How often a node has logged that it refused a follower.
struct RefusalCount {
    std::atomic<int> lines{0};

    std::function<void(const std::string&)> sink() {
        return [this](const std::string& line) { lines += contains(line, "\"follower_refused\"") ? 1 : 0; };
    }
};

bool is_refused(InProcessNode& node, const Change& change) {
    return !HandMadeFollower(node.port(), change).reply.accepted;
}

}  // namespace

TEST_CASE("source: a follower that is refused each time that it tries is logged once for each reason") {
    MemoryStorage storage;
    RefusalCount count;
    InProcessNode master(storage, {}, {}, 0, count.sink());
    const Change of_earlier_version = [](net::Subscription& self) { self.format = 1; };
    const Change ahead = [](net::Subscription& self) {
        self.after_lsn = 99;
        self.is_empty = false;
    };
    master.database().increment("a", 1, 1, some_day);
    SUBCASE("by what it tells of itself, wherever its history and this one end") {
        for (int i = 0; i < 3; ++i) {
            REQUIRE(is_refused(master, ahead));
            master.database().increment("a", 1, 1, some_day);
        }
        CHECK(count.lines == 1);
        for (int i = 0; i < 3; ++i) REQUIRE(is_refused(master, of_earlier_version));
        CHECK(count.lines == 2);
        REQUIRE(is_refused(master, ahead));
        CHECK(count.lines == 3);
    }
    SUBCASE("by its name") {
        const HandMadeFollower there(master.port());
        REQUIRE(there.reply.accepted);
        const Change other_node = [](net::Subscription& self) { self.node_id = 78; };
        for (int i = 0; i < 3; ++i) REQUIRE(is_refused(master, other_node));
        CHECK(count.lines == 1);
        const Change other_name = [](net::Subscription& self) {
            self.name = "other";
            self.format = 1;
        };
        for (int i = 0; i < 3; ++i) REQUIRE(is_refused(master, other_name));
        CHECK(count.lines == 2);
    }
    SUBCASE("and again after it was accepted") {
        REQUIRE(is_refused(master, of_earlier_version));
        REQUIRE(HandMadeFollower(master.port()).reply.accepted);
        REQUIRE(is_refused(master, of_earlier_version));
        CHECK(count.lines == 2);
    }
}

TEST_CASE("source: so many refused followers are remembered, the latest ones") {
    replica::Refusals refusals;
    const auto name = [](std::size_t i) { return "follower-" + std::to_string(i); };
    for (std::size_t i = 0; i < replica::Refusals::names_max; ++i) CHECK(refusals.is_new(name(i), "why"));
    for (std::size_t i = 0; i < replica::Refusals::names_max; ++i) {
        CHECK_FALSE(refusals.is_new(name(i), "why"));
    }
    CHECK(refusals.is_new(name(replica::Refusals::names_max), "why"));
    CHECK_FALSE(refusals.is_new(name(1), "why"));
    CHECK(refusals.is_new(name(0), "why"));
    CHECK(refusals.is_new(name(0), "another reason"));
    refusals.forget(name(0));
    CHECK(refusals.is_new(name(0), "another reason"));
}

TEST_CASE("source: what is there of a follower that was forgotten ends, under whichever name") {
    MemoryStorage storage;
    InProcessNode master(storage, waiting_for(1), with_acks(1));
    // It hears nothing for a long time, so that nobody looks whether it counts.
    HandMadeFollower follower(master.port(), [](net::Subscription& self) { self.heartbeat_ms = 10'000; });
    follower.acknowledge(0);
    REQUIRE(follower.hear([](const replica::Life& life) { return life.counted.has_value(); }));
    // The same node under another name, for some moments: what asks for that one does not see the first.
    const bool was_forgotten = comes_true([&] {
        {
            HandMadeFollower second(master.port(), [](net::Subscription& self) { self.name = "renamed"; });
            second.acknowledge(0);
            second.hear([](const replica::Life&) { return true; });
        }
        return comes_true([&] { return master.node().statistics().followers.size() == 1; }) &&
               Client(master.port()).error_of("replication.forget_follower", {{"name", "renamed"}}).empty();
    });
    REQUIRE(was_forgotten);
    CHECK_THROWS_AS(follower.hear([](const replica::Life&) { return false; }), replica::ChannelError);
}

}  // namespace karma::test
