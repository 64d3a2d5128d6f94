// From one master to the next: promotions, old masters, and acknowledgements that wait for slaves.
#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/replica/cluster.h"
#include "tests/support/proxy.h"

namespace karma::test {

namespace {

json::object counter(std::uint64_t key) { return {{"series", "a"}, {"key", key}, {"bucket", 20260505}}; }

std::vector<std::filesystem::path> discarded_files(const Daemon& daemon) {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(daemon.directory())) {
        if (entry.path().filename().string().starts_with("discarded-")) files.push_back(entry.path());
    }
    return files;
}

}  // namespace

TEST_CASE("failover: a promoted slave takes writes, and the master that it followed takes none any more") {
    Daemon master;
    Daemon slave(slave_of(master.port()));
    Client of_master = master.connect();
    of_master.call("counter.increment", counter(1));
    REQUIRE(catches_up(master, slave));
    const ProgramResult promoted =
        run_program(karma_binary(), {"promote", "--port=" + std::to_string(slave.port())});
    CHECK(promoted.status == ExitStatus{0, 0});
    CHECK(promoted.standard_output.find("is the master of epoch 1, which began at LSN 2") !=
          std::string::npos);
    Client of_slave = slave.connect();
    of_slave.call("counter.increment", counter(1));
    CHECK(of_slave.error_of("replication.promote") == "validation_error");
    // Until it has heard of it, it would take a write, and have a history of its own.
    REQUIRE(comes_true([&] { return health(master).starts_with("fenced: "); }));
    CHECK(of_master.error_of("tree.create", {{"series", "b"}}) == "replication_error");
    CHECK(as_number(of_master.call("counter.sum", {{"series", "a"}, {"key", 1}})) == 1);
    const auto promote_old = [&](std::vector<std::string> more) {
        more.insert(more.begin(), {"promote", "--port=" + std::to_string(master.port())});
        return run_program(karma_binary(), more);
    };
    CHECK(promote_old({}).status == ExitStatus{1, 0});
    CHECK(promote_old({}).standard_error.find("--force") != std::string::npos);
    // It remembers, and the other one stays master through a crash, whatever its command line says.
    master.restart_after_kill();
    slave.restart_after_kill();
    CHECK(master.connect().error_of("tree.create", {{"series", "b"}}) == "replication_error");
    slave.connect().call("counter.increment", counter(1));
    // As a slave of the new one it has nothing to give up.
    master.stop();
    master.set_arguments(slave_of(slave.port()));
    master.start();
    REQUIRE(comes_true([&] { return streams(master); }));
    REQUIRE(catches_up(slave, master));
    CHECK(digest(slave) == digest(master));
    // And back again.
    master.connect().call("replication.promote");
    master.connect().call("counter.increment", counter(2));
    REQUIRE(comes_true([&] { return streams(slave); }));
    REQUIRE(catches_up(master, slave));
    CHECK(digest(slave) == digest(master));
    CHECK(status_text(slave, "replication_epoch") == "2");
}

TEST_CASE("failover: a fenced master is made master again on the command line, with force") {
    Daemon master;
    Daemon slave(slave_of(master.port()));
    master.connect().call("counter.increment", counter(1));
    REQUIRE(catches_up(master, slave));
    slave.connect().call("replication.promote");
    REQUIRE(comes_true([&] { return health(master).starts_with("fenced: "); }));
    slave.kill_hard();
    const ProgramResult forced =
        run_program(karma_binary(), {"promote", "--force", "--port=" + std::to_string(master.port())});
    CHECK(forced.status == ExitStatus{0, 0});
    CHECK(forced.standard_output.find("is the master of epoch 2") != std::string::npos);
    master.connect().call("counter.increment", counter(1));
    CHECK(health(master) == "ok");
}

TEST_CASE("failover: an old master with events of its own is refused, and can give them up into a file") {
    Daemon master;
    Proxy network(master.port());
    Daemon slave(slave_of(network.port()));
    Client of_master = master.connect();
    for (std::uint64_t i = 0; i < 10; ++i) of_master.call("counter.increment", counter(i));
    REQUIRE(catches_up(master, slave));
    network.cut(true);
    for (std::uint64_t i = 10; i < 15; ++i) of_master.call("counter.increment", counter(i));
    Client of_slave = slave.connect();
    of_slave.call("replication.promote");
    for (std::uint64_t i = 20; i < 40; ++i) of_slave.call("counter.increment", counter(i));
    master.kill_hard();
    master.set_arguments(slave_of(slave.port()));
    master.start();
    REQUIRE(comes_true([&] { return status_text(master, "replication_state") == "diverged"; }));
    CHECK(health(master).starts_with("replication_gap: "));
    CHECK(health(master).find("part after LSN 10,") != std::string::npos);
    CHECK(as_number(master.connect().call("counter.sum", {{"series", "a"}, {"key", 12}})) == 1);
    CHECK(discarded_files(master).empty());
    master.kill_hard();
    master.set_arguments(slave_of(slave.port(), {"--replication-discard-diverged=true"}));
    master.start();
    REQUIRE(comes_true([&] { return streams(master); }));
    REQUIRE(catches_up(slave, master));
    CHECK(digest(slave) == digest(master));
    CHECK(health(master) == "ok");
    const std::vector<std::filesystem::path> files = discarded_files(master);
    REQUIRE(files.size() == 1);
    const std::string kept = read_file(files.front());
    CHECK(std::ranges::count(kept, '\n') == 5);
    for (std::uint64_t i = 10; i < 15; ++i) {
        CHECK(kept.find("\"key\":" + std::to_string(i) + ",") != std::string::npos);
    }
}

TEST_CASE("failover: with replication-min-acks a write waits for slaves, a read does not") {
    Daemon master({"--replication-min-acks=1", "--replication-ack-timeout-ms=150"});
    Client client = master.connect();
    json::object keyed = counter(1);
    keyed["idempotency_key"] = "k";
    const json::value refused = client.ask("counter.increment", keyed);
    CHECK(member(refused, "error_code") == json::value("replication_error"));
    CHECK(std::string(member(refused, "response").as_string()).find("stored on the master") !=
          std::string::npos);
    CHECK(as_number(client.call("counter.sum", {{"series", "a"}, {"key", 1}})) == 1);
    CHECK(client.error_of("counter.sum", {{"series", "none"}, {"key", 1}}) == "not_found");
    CHECK(health(master) == "writes wait for 1 followers, 0 are there");
    // Replies keep their order, whether they wait or not.
    client.send_line(request("counter.sum", {{"series", "a"}, {"key", 1}}));
    client.send_line(request("counter.increment", counter(2)));
    client.send_line(request("counter.sum", {{"series", "a"}, {"key", 2}}));
    client.send_line(request("counter.increment", counter(3)));
    client.send_line(request("system.ping"));
    std::string answers;
    for (int i = 0; i < 5; ++i) {
        const json::value reply = client.receive();
        answers += member(reply, "success") == json::value(true) ? json::serialize(member(reply, "response"))
                                                                 : "error";
        answers += " ";
    }
    CHECK(answers == "1 error 1 error \"pong\" ");
    {
        Daemon slave(slave_of(master.port()));
        REQUIRE(comes_true([&] { return streams(slave); }));
        REQUIRE(comes_true([&] { return client.error_of("counter.increment", counter(4)).empty(); }));
        CHECK(health(master) == "ok");
        // What was refused is sent again, and counts once.
        const json::value again = client.ask("counter.increment", keyed);
        CHECK(member(again, "success") == json::value(true));
        CHECK(member(again, "idempotent") == json::value(true));
        SteadyWriter writer(master.port(), "w");
        REQUIRE(comes_true([&] { return writer.acknowledged() > 100; }));
        slave.kill_hard();
        writer.finish();
        // Every acknowledged write is on the slave, whatever becomes of the master.
        master.kill_hard();
        slave.start();
        Client of_slave = slave.connect();
        CHECK(written_by(of_slave, "w") >= writer.acknowledged());
        master.start();
    }
    Client again = master.connect();
    CHECK(again.error_of("counter.increment", counter(5)) == "replication_error");
}

TEST_CASE("failover: a slave promotes itself when its master is silent, if it was in sync") {
    Daemon master({"--replication-min-acks=1", "--replication-ack-timeout-ms=20000"});
    Proxy network(master.port());
    Daemon slave(slave_of(network.port(), {"--failover-timeout-ms=600"}));
    SteadyWriter writer(master.port(), "w");
    REQUIRE(comes_true([&] { return writer.acknowledged() > 100; }));
    network.hold(true, true);  // no connection is closed: there is only silence
    REQUIRE(comes_true([&] { return status_text(slave, "role") == "master"; }));
    const std::uint64_t acknowledged = writer.acknowledged();
    writer.write_to(slave.port());
    master.kill_hard();
    REQUIRE(comes_true([&] { return writer.acknowledged() > acknowledged + 100; }));
    writer.finish();
    Client client = slave.connect();
    CHECK(written_by(client, "w") == writer.acknowledged());
    // The old master comes back, and is told at once.
    network.let_through();
    master.start();
    REQUIRE(comes_true([&] { return health(master).starts_with("fenced: "); }));
}

TEST_CASE(
    "failover: it is refused at the start where nobody could tell a dead master from a cut connection") {
    const Daemon master;
    const auto start = [&](std::vector<std::string> more) {
        Daemon slave(slave_of(master.port(), std::move(more)));
        CHECK(comes_true([&] { return streams(slave); }));
    };
    CHECK_THROWS_WITH_AS(start({"--failover-timeout-ms=2000"}), doctest::Contains("--failover-unsafe"),
                         std::runtime_error);
    CHECK_NOTHROW(start({"--failover-timeout-ms=2000", "--failover-unsafe=true"}));
    const Daemon another(slave_of(master.port()));
    REQUIRE(comes_true([&] { return streams(another); }));
    CHECK_NOTHROW(start({"--failover-timeout-ms=2000"}));
}

TEST_CASE("failover: a slave that slept does not take its master for lost") {
    Daemon master({"--replication-timeout-ms=200"});
    Daemon slave(slave_of(master.port(), {"--failover-timeout-ms=400", "--failover-unsafe=true"}));
    for (int i = 0; i < 3; ++i) {
        REQUIRE(comes_true([&] { return streams(slave); }));
        const std::uint64_t before = std::stoull(status_text(slave, "replication_poll_success_count"));
        slave.send_signal(SIGSTOP);
        // The master drops it meanwhile.
        const bool was_dropped = comes_true([&] { return status_text(master, "followers") == "[]"; });
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
        slave.send_signal(SIGCONT);
        REQUIRE(was_dropped);
        REQUIRE(comes_true(
            [&] { return std::stoull(status_text(slave, "replication_poll_success_count")) > before; }));
        CHECK(status_text(slave, "role") == "slave");
    }
    CHECK(status_text(master, "fenced") == "false");
}

TEST_CASE("failover: a slave that was never in sync does not promote itself") {
    const std::uint16_t nobody = free_port();
    Daemon slave(slave_of(nobody, {"--failover-timeout-ms=50"}));
    REQUIRE(comes_true([&] { return std::stoull(status_text(slave, "replication_poll_error_count")) > 10; }));
    CHECK(status_text(slave, "role") == "slave");
    // Nor does anybody else: it is empty, and would end the time of a master that is not.
    CHECK(slave.connect().error_of("replication.promote") == "replication_error");
    CHECK(slave.connect().error_of("tree.create", {{"series", "a"}}) == "forbidden");
}

TEST_CASE("failover: masters are killed one after the other: what was acknowledged counts once") {
    std::mt19937_64 random = random_engine("failover rounds");
    MastersInTurn masters;
    const std::size_t rounds = number_from_environment("KARMA_TEST_ROUNDS", scaled(20));
    for (std::size_t round = 0; round < rounds; ++round) {
        CAPTURE(round);
        masters.kill_master(random);
        masters.slave().connect().call("replication.promote");
        masters.change_places();
    }
    masters.check_end();
    const SteadyWriter& writer = masters.writer();
    MESSAGE(writer.acknowledged() << " writes, " << writer.repeats() << " of them sent again");
}

}  // namespace karma::test
