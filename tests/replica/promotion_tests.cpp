// A slave that is killed while it is promoted: it happened or it did not, and nothing that was acknowledged
// is gone.
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "tests/replica/cluster.h"

namespace karma::test {

TEST_CASE("promotion: a slave that is killed in the middle of it is master, or slave as before, and whole") {
    std::mt19937_64 random = random_engine("killed promotion");
    const std::vector<std::string> acks{"--replication-min-acks=1", "--replication-ack-timeout-ms=20000",
                                        "--replication-discard-diverged=true"};
    Daemon one(acks);
    Daemon two(slave_of(one.port(), acks));
    Daemon* master = &one;
    Daemon* slave = &two;
    SteadyWriter writer(one.port(), "w");
    std::uint64_t epoch = 0;
    std::size_t happened = 0;
    const std::size_t rounds = number_from_environment("KARMA_TEST_ROUNDS", scaled(15));
    for (std::size_t round = 0; round < rounds; ++round) {
        CAPTURE(round);
        REQUIRE(comes_true([&] { return status_text(*slave, "replication_state") == "streaming"; }));
        const std::uint64_t before = writer.acknowledged();
        REQUIRE(comes_true([&] { return writer.acknowledged() > before + random_between(random, 0, 50); }));
        master->kill_hard();

        std::atomic<bool> promoted{false};
        std::thread promotion([&] {
            try {
                slave->connect().call("replication.promote");
                promoted = true;
            } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): the crash came first
            }
        });
        std::this_thread::sleep_for(std::chrono::microseconds(random_between(random, 0, 15'000)));
        slave->kill_hard();
        promotion.join();
        slave->start();
        const bool is_master = status_text(*slave, "role") == "master";
        const std::uint64_t epoch_now = std::stoull(status_text(*slave, "replication_epoch"));
        CHECK_MESSAGE((is_master || !promoted), "a promotion that was answered did not happen");
        CHECK(epoch_now == epoch + (is_master ? 1 : 0));
        happened += is_master ? 1 : 0;
        Client client = slave->connect();
        CHECK(written_by(client, "w") >= writer.acknowledged());
        // What did not happen can be done again.
        if (!is_master) client.call("replication.promote");
        epoch = std::stoull(status_text(*slave, "replication_epoch"));
        writer.write_to(slave->port());
        master->set_arguments(slave_of(slave->port(), acks));
        master->start();
        std::swap(master, slave);
    }
    MESSAGE(happened << " of " << rounds << " promotions had happened when the slave was killed");
    REQUIRE(comes_true([&] { return status_text(*slave, "replication_state") == "streaming"; }));
    writer.finish();
    REQUIRE(catches_up(*master, *slave));
    CHECK(digest(*master) == digest(*slave));
    Client client = master->connect();
    const std::uint64_t found = written_by(client, "w");
    CHECK(found >= writer.acknowledged());
    CHECK(found <= writer.acknowledged() + 1);  // the last one may be on its way
}

}  // namespace karma::test
