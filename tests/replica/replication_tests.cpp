// Masters and slaves as programs: bootstraps, crashes and cut networks.
#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/replica/cluster.h"
#include "tests/support/proxy.h"

namespace karma::test {

namespace {

// Points enough that taking the state takes some time.
void fill(Client& client, std::uint64_t keys, std::uint64_t days) {
    for (std::uint64_t key = 0; key < keys; ++key) {
        json::array items;
        for (std::uint64_t i = 0; i < days; ++i)
            items.push_back(json::array{key, 20260101 + i % 28, i + key + 1});
        client.call("series.batch_add", {{"series", "filled"}, {"items", std::move(items)}});
    }
}

// How an empty follower asks for the stream.
std::string subscription(const char* name, std::uint64_t heartbeat_ms) {
    return request("replication.subscribe", {{"format", 2},
                                             {"name", name},
                                             {"after_lsn", 0},
                                             {"heartbeat_ms", heartbeat_ms},
                                             {"epochs", json::array{}}});
}

}  // namespace

TEST_CASE("replication: an empty slave takes the state while the master is written to, then all events") {
    Daemon master({"--max-request-bytes=1000000"});
    {
        Client client = master.connect();
        fill(client, scaled(300), 28);
        client.call("ingest.begin", {{"stream_id", "open"}, {"mode", "replace_series"}});
        client.call("ingest.chunk", {{"stream_id", "open"},
                                     {"series", "staged"},
                                     {"chunk_seq", 1},
                                     {"items", json::array{json::array{1, 20260505, 7}}}});
        client.call("recovery.checkpoint", {{"source", "q"}, {"offset", "5"}});
    }
    SteadyWriter one(master.port(), "one");
    SteadyWriter two(master.port(), "two");
    REQUIRE(comes_true([&] { return one.acknowledged() > 50; }));
    Daemon slave(slave_of(master.port(), {"--max-request-bytes=1000000"}));
    REQUIRE(comes_true([&] { return streams(slave); }));
    const std::uint64_t then = one.acknowledged();
    REQUIRE(comes_true([&] { return one.acknowledged() > then + 50; }));
    one.finish();
    two.finish();
    REQUIRE(catches_up(master, slave));
    CHECK(digest(master) == digest(slave));
    CHECK(status_text(slave, "replication_bootstrap_success_count") == "1");
    Client client = slave.connect();
    CHECK(written_by(client, "one") == one.acknowledged());
    CHECK(written_by(client, "two") == two.acknowledged());
    CHECK(member(client.call("replication.verify"), "status") == json::value("equal"));
    CHECK(client.error_of("counter.increment", {{"series", "a"}, {"key", 1}}) == "forbidden");
    CHECK(client.error_of("counter.sum", {{"series", "none"}, {"key", 1}}) == "not_found");
    // The stream that is open goes on at the master and ends on both.
    Client of_master = master.connect();
    of_master.call("ingest.commit", {{"stream_id", "open"}});
    REQUIRE(catches_up(master, slave));
    CHECK(as_number(client.call("counter.sum", {{"series", "staged"}, {"key", 1}})) == 7);
    CHECK(digest(master) == digest(slave));
    // Events have the same LSNs and times on both.
    const auto last_events = [](Client& from) {
        const std::uint64_t lsn = last_lsn(from);
        return member(from.call("event.list", {{"after_lsn", lsn - 5}}), "events");
    };
    CHECK(last_events(of_master) == last_events(client));
}

TEST_CASE(
    "replication: either side is killed at random moments, again and again: in the end both are equal") {
    std::mt19937_64 random = random_engine("kill either side");
    Daemon master;
    Daemon slave(slave_of(master.port()));
    SteadyWriter writer(master.port(), "w");
    const std::size_t rounds = number_from_environment("KARMA_TEST_ROUNDS", scaled(200));
    for (std::size_t i = 0; i < rounds; ++i) {
        std::this_thread::sleep_for(std::chrono::microseconds(random_between(random, 0, 40'000)));
        Daemon& victim = random_between(random, 0, 1) == 0 ? master : slave;
        if (random_between(random, 0, 9) == 0) {
            // Both at once.
            (&victim == &master ? slave : master).restart_after_kill();
        }
        victim.restart_after_kill();
    }
    writer.finish();
    MESSAGE(writer.acknowledged() << " writes, of which " << writer.repeats() << " were sent again");
    REQUIRE(catches_up(master, slave));
    CHECK(digest(master) == digest(slave));
    for (Daemon* const daemon : {&master, &slave}) {
        Client client = daemon->connect();
        const std::uint64_t found = writer.acknowledged() == 0 ? 0 : written_by(client, "w");
        CHECK(found >= writer.acknowledged());
        CHECK(found <= writer.acknowledged() + 1);
        CHECK(member(client.call("system.health"), "status") == json::value("ok"));
    }
}

TEST_CASE("replication: a slave that is killed while it takes the state begins anew, until it is whole") {
    std::mt19937_64 random = random_engine("kill in bootstrap");
    Daemon master({"--max-request-bytes=1000000"});
    Client client = master.connect();
    fill(client, scaled(3'000), 28);
    Daemon slave(slave_of(master.port()));
    const auto begin = std::chrono::steady_clock::now();
    REQUIRE(catches_up(master, slave));
    const auto took =
        std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
    for (std::size_t i = 0; i < scaled(20); ++i) {
        slave.kill_hard();
        std::filesystem::remove_all(slave.directory() / "db");
        for (const auto& entry : std::filesystem::directory_iterator(slave.directory())) {
            std::filesystem::remove_all(entry.path());
        }
        slave.start();
        for (int kills = 0; kills < 2; ++kills) {
            std::this_thread::sleep_for(std::chrono::microseconds(
                random_between(random, 0, static_cast<std::uint64_t>(took.count()) * 2)));
            slave.restart_after_kill();
        }
        REQUIRE(catches_up(master, slave));
        CHECK(digest(master) == digest(slave));
    }
}

TEST_CASE("replication: a network that is cut, in either direction, is got over") {
    std::mt19937_64 random = random_engine("cut network");
    Daemon master({"--replication-timeout-ms=400"});
    Proxy network(master.port());
    Daemon slave(slave_of(network.port(), {"--replication-timeout-ms=400"}));
    SteadyWriter writer(master.port(), "w");
    REQUIRE(comes_true([&] { return streams(slave); }));
    struct Cut {
        bool to_master;
        bool to_slave;
    };
    for (const Cut cut : {Cut{true, false}, Cut{false, true}, Cut{true, true}}) {
        CAPTURE(cut.to_master);
        CAPTURE(cut.to_slave);
        network.hold(cut.to_master, cut.to_slave);
        // What is sent is not acknowledged, or does not arrive: the master goes on, and drops the slave.
        REQUIRE(comes_true([&] { return status_text(master, "followers") == "[]"; }));
        const std::uint64_t before = writer.acknowledged();
        REQUIRE(comes_true([&] { return writer.acknowledged() > before + 20; }));
        network.let_through();
        network.cut(false);
        REQUIRE(comes_true([&] { return streams(slave); }));
    }
    for (std::size_t i = 0; i < scaled(30); ++i) {
        network.hold(random_between(random, 0, 1) == 0, random_between(random, 0, 1) == 0);
        std::this_thread::sleep_for(std::chrono::milliseconds(random_between(random, 0, 30)));
        network.let_through();
        network.cut(random_between(random, 0, 1) == 0);
        std::this_thread::sleep_for(std::chrono::milliseconds(random_between(random, 0, 30)));
        network.cut(false);
    }
    writer.finish();
    REQUIRE(catches_up(master, slave));
    CHECK(digest(master) == digest(slave));
    Client client = slave.connect();
    CHECK(written_by(client, "w") == writer.acknowledged());
}

TEST_CASE("replication: a slave that is gone without a word is dropped, also when nobody writes") {
    Daemon master({"--replication-timeout-ms=300"});
    Proxy network(master.port());
    Daemon slave(slave_of(network.port(), {"--replication-timeout-ms=300"}));
    REQUIRE(comes_true([&] { return status_text(master, "followers") != "[]"; }));
    network.hold(true, false);
    REQUIRE(comes_true([&] { return status_text(master, "followers") == "[]"; }));
    network.let_through();
    network.cut(false);
    REQUIRE(comes_true([&] { return status_text(master, "followers") != "[]"; }));
}

TEST_CASE("replication: a slave stores snapshots by itself, and when it is told") {
    Daemon master;
    Daemon slave(slave_of(master.port(), {"--snapshot-interval-seconds=1"}));
    Client of_master = master.connect();
    Client of_slave = slave.connect();
    const auto has_snapshot_of_all = [&] {
        return as_number(member(of_slave.call("snapshot.info"), "last_snapshot_lsn")) == last_lsn(of_master);
    };
    of_master.call("counter.increment", {{"series", "a"}, {"key", 1}});
    CHECK(comes_true(has_snapshot_of_all));
    slave.stop(SIGINT);
    slave.set_arguments(slave_of(master.port(), {"--snapshot-interval-seconds=0"}));
    of_master.call("counter.increment", {{"series", "a"}, {"key", 1}});
    slave.start();
    REQUIRE(catches_up(master, slave));
    of_slave = slave.connect();
    CHECK(!has_snapshot_of_all());
    slave.send_signal(SIGUSR1);
    CHECK(comes_true(has_snapshot_of_all));
}

TEST_CASE("replication: a slave of a slave gets everything, and stays behind it when that is promoted") {
    Daemon first;
    Daemon second(slave_of(first.port()));
    Daemon third(slave_of(second.port()));
    SteadyWriter writer(first.port(), "w");
    REQUIRE(comes_true([&] { return streams(third) && writer.acknowledged() > 100; }));
    writer.finish();
    REQUIRE(catches_up(first, second));
    REQUIRE(catches_up(second, third));
    CHECK(digest(first) == digest(third));
    Client of_second = second.connect();
    CHECK(as_number(member(of_second.call("replication.promote"), "epoch")) == 1);
    of_second.call("counter.increment", {{"series", "a"}, {"key", 1}});
    REQUIRE(catches_up(second, third));
    CHECK(digest(second) == digest(third));
    CHECK(status_text(third, "replication_epoch") == "1");
    Client of_third = third.connect();
    CHECK(of_third.error_of("counter.increment", {{"series", "a"}, {"key", 1}}) == "forbidden");
}

TEST_CASE("replication: who takes nothing is dropped, and has held up nobody") {
    Daemon master({"--replication-timeout-ms=500", "--log=true"});
    SteadyWriter writer(master.port(), "w");
    REQUIRE(comes_true([&] { return writer.acknowledged() > 10; }));
    Client hungry(master.port());
    hungry.send_line(subscription("hungry", 1000));
    CHECK(hungry.receive_line().find("\"mode\":\"state\"") != std::string::npos);
    REQUIRE(comes_true([&] { return status_text(master, "followers").find("hungry") != std::string::npos; }));
    const std::uint64_t before = writer.acknowledged();
    REQUIRE(comes_true([&] { return status_text(master, "followers") == "[]"; }));
    CHECK(writer.acknowledged() > before);
    CHECK(comes_true([&] {
        return master.standard_output().find("it has taken nothing for 500 ms: dropped") !=
                   std::string::npos ||
               master.standard_error().find("it has taken nothing for 500 ms: dropped") != std::string::npos;
    }));
}

TEST_CASE("replication: who never says a word is dropped, also where there is nothing to be sent") {
    Daemon master({"--replication-timeout-ms=200"});
    for (const bool has_events : {false, true}) {
        CAPTURE(has_events);
        Client client = master.connect();
        if (has_events) client.call("tree.create", {{"series", "a"}});
        Client silent(master.port());
        silent.send_line(subscription("silent", 20));
        CHECK(silent.receive_line().find("\"success\":true") != std::string::npos);
        CHECK(comes_true([&] { return status_text(master, "followers") == "[]"; }));
    }
}

TEST_CASE("replication: the token of the master is needed, and is in no output") {
    Daemon master({"--auth-token=write-secret", "--read-auth-token=read-secret"});
    for (const std::string& token :
         {std::string("read-secret"), std::string("wrong-secret"), std::string()}) {
        CAPTURE(token);
        std::vector<std::string> more{"--log=true"};
        if (!token.empty()) more.push_back("--replication-token=" + token);
        Daemon slave(slave_of(master.port(), more));
        REQUIRE(comes_true([&] { return status_text(slave, "replication_state") == "refused"; }));
        CHECK(health(slave).find("the master refuses") != std::string::npos);
        const std::string output = slave.standard_output() + slave.standard_error();
        CHECK(output.find("secret") == std::string::npos);
    }
    Daemon slave(slave_of(master.port(), {"--replication-token=write-secret"}));
    CHECK(comes_true([&] { return streams(slave); }));
    const std::string output = master.standard_output() + master.standard_error();
    CHECK(output.find("secret") == std::string::npos);
}

}  // namespace karma::test
