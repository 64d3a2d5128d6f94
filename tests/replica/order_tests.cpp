// What a node that holds data gives up, and what not: by proof, or by its operator's order for one use.
#include <algorithm>
#include <filesystem>
#include <string>

#include <doctest/doctest.h>

#include "replica/handshake.h"
#include "tests/replica/in_process.h"
#include "tests/support/comes_true.h"
#include "tests/support/fake_server.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

void count(InProcessNode& node, const std::string& series, std::uint64_t times) {
    for (std::uint64_t i = 1; i <= times; ++i) node.database().increment(series, i, 1, some_day);
}

bool is_in_state(InProcessNode& node, const std::string& state) {
    return comes_true([&] { return node.node().statistics().state == state; });
}

replica::NodeOptions following_by_order(std::uint16_t port, const TempDir& directory,
                                        const std::string& order) {
    replica::NodeOptions options = following(port, directory);
    options.follower->discard_order = order;
    return options;
}

std::size_t lines_in(const TempDir& directory) {
    std::size_t lines = 0;
    for (const auto& file : std::filesystem::directory_iterator(directory.path())) {
        const std::string text = read_file(file.path());
        lines += static_cast<std::size_t>(std::ranges::count(text, '\n'));
    }
    return lines;
}

DatabaseOptions forgetful(DatabaseOptions options) {
    options.event_retention_bytes = 1;
    return options;
}

}  // namespace

TEST_CASE("orders: a node with data does not give it up for a stranger, whose log begins later") {
    MemoryStorage storages[2];
    const TempDir directory;
    {
        InProcessNode node(storages[1]);
        count(node, "mine", 600);
    }
    InProcessNode stranger(storages[0], forgetful({}));
    count(stranger, "theirs", 1'000);
    stranger.database().save_snapshot();
    stranger.database().apply_retention();
    REQUIRE(stranger.database().first_kept_lsn() > 601);
    {
        InProcessNode node(storages[1], slave_options(), following(stranger.port(), directory));
        REQUIRE(is_in_state(node, "stranger"));
        CHECK(node.database().durable_lsn() == 600);
        const std::string health = health_of(node);
        CHECK(health.find(stranger.database().database_id().text()) != std::string::npos);
        CHECK(health.find("--replication-discard-diverged=order-1") != std::string::npos);
        CHECK(std::filesystem::is_empty(directory.path()));
    }
    // The order counts for one use, and its retention removes nothing before.
    {
        InProcessNode node(storages[1], forgetful(slave_options()),
                           following_by_order(stranger.port(), directory, "true"));
        REQUIRE(is_in_state(node, "streaming"));
        CHECK(node.database().database_id() == stranger.database().database_id());
        CHECK(lines_in(directory) == 600);
        Client client(node.port());
        const std::string discarded(member(client.call("replication.status"), "discarded").as_string());
        CHECK(discarded.find("600 events were given up") != std::string::npos);
        CHECK(member(client.call("system.health"), "discarded") == json::value(discarded));
        CHECK(health_of(node) == "ok");
    }
    MemoryStorage third;
    InProcessNode another(third);
    count(another, "others", 5);
    InProcessNode node(storages[1], slave_options(), following_by_order(another.port(), directory, "true"));
    REQUIRE(is_in_state(node, "stranger"));
    CHECK(health_of(node).find("\"true\" was carried out before") != std::string::npos);
    CHECK(health_of(node).find("=order-2") != std::string::npos);
    CHECK(node.database().durable_lsn() == 1'000);
}

TEST_CASE("orders: a follower does not give up its data for a master that came back empty") {
    MemoryStorage storages[2];
    const TempDir directory;
    std::uint16_t port = 0;
    {
        InProcessNode master(storages[0]);
        count(master, "a", 20);
        InProcessNode slave(storages[1], slave_options(), following(master.port(), directory));
        REQUIRE(comes_true([&] { return slave.database().durable_lsn() == 20; }));
    }
    MemoryStorage fresh;
    InProcessNode master(fresh, forgetful({}));
    port = master.port();
    SUBCASE("and has nothing") {
        InProcessNode slave(storages[1], slave_options(), following(port, directory));
        REQUIRE(is_in_state(slave, "refused"));
        CHECK(slave.database().durable_lsn() == 20);
    }
    SUBCASE("and was filled and trimmed since") {
        count(master, "a", 50);
        master.database().save_snapshot();
        master.database().apply_retention();
        InProcessNode slave(storages[1], slave_options(), following(port, directory));
        REQUIRE(is_in_state(slave, "stranger"));
        CHECK(slave.database().durable_lsn() == 20);
    }
}

TEST_CASE("orders: an empty follower does not serve its emptiness to those that follow it") {
    MemoryStorage storages[3];
    const TempDir directory;
    {
        InProcessNode master(storages[0]);
        count(master, "a", 20);
        InProcessNode last(storages[2], slave_options(), following(master.port(), directory));
        REQUIRE(comes_true([&] { return last.database().durable_lsn() == 20; }));
    }
    // Rebuilt, and without its master.
    FakeServer silent([](std::size_t, const std::string&) { return FakeAnswer{}; });
    InProcessNode middle(storages[1], slave_options(), following(silent.port(), directory));
    InProcessNode last(storages[2], slave_options(), following(middle.port(), directory));
    REQUIRE(is_in_state(last, "refused"));
    CHECK(last.database().durable_lsn() == 20);
    CHECK(health_of(last).find("has not got its source's state yet") != std::string::npos);
}

TEST_CASE("orders: the file of what is given up has all events, whatever retention says") {
    MemoryStorage storages[2];
    const TempDir directory;
    for (MemoryStorage& storage : storages) {
        InProcessNode node(storage);
        count(node, "a", 40);
        count(node, &storage == &storages[0] ? "theirs" : "mine", 600);
        node.database().save_snapshot();
    }
    make_one_database(storages[0], storages[1]);
    InProcessNode master(storages[0]);
    {
        InProcessNode node(storages[1], forgetful(slave_options()), following(master.port(), directory));
        REQUIRE(is_in_state(node, "diverged"));
        node.database().apply_retention();
        CHECK(node.database().first_kept_lsn() == 1);
    }
    InProcessNode node(storages[1], forgetful(slave_options()),
                       following_by_order(master.port(), directory, "o"));
    REQUIRE(is_in_state(node, "streaming"));
    CHECK(lines_in(directory) == 600);
}

TEST_CASE("orders: what is applied is durable before a master is told of it") {
    MemoryStorage storage;
    const TempDir directory;
    DatabaseOptions options = slave_options();
    options.threads = false;  // nothing commits by itself
    FakeServer master([](std::size_t, const std::string&) { return FakeAnswer{}; });
    const auto database = Database::open(options, storage);
    database->replicate(Event{1, 5, fact::Increment{"a", 1, some_day, 1}, {}});
    REQUIRE(database->durable_lsn() == 0);
    net::Log log{net::LogLevel::warning};
    replica::Node node(*database, log, following(master.port(), directory));
    node.start("n");
    REQUIRE(master.wait_for_requests(1));
    CHECK(master.requests()[0].find("\"after_lsn\":1,") != std::string::npos);
    CHECK(database->durable_lsn() == 1);
    node.stop();
}

}  // namespace karma::test
