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
    MastersInTurn masters;
    std::uint64_t epoch = 0;
    std::size_t happened = 0;
    const std::size_t rounds = number_from_environment("KARMA_TEST_ROUNDS", scaled(15));
    for (std::size_t round = 0; round < rounds; ++round) {
        CAPTURE(round);
        masters.kill_master(random);
        Daemon& slave = masters.slave();
        std::atomic<bool> promoted{false};
        std::thread promotion([&] {
            try {
                slave.connect().call("replication.promote");
                promoted = true;
            } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): the crash came first
            }
        });
        std::this_thread::sleep_for(std::chrono::microseconds(random_between(random, 0, 15'000)));
        slave.kill_hard();
        promotion.join();
        slave.start();
        const bool is_master = status_text(slave, "role") == "master";
        const std::uint64_t epoch_now = std::stoull(status_text(slave, "replication_epoch"));
        CHECK_MESSAGE((is_master || !promoted), "a promotion that was answered did not happen");
        CHECK(epoch_now == epoch + (is_master ? 1 : 0));
        happened += is_master ? 1 : 0;
        Client client = slave.connect();
        CHECK(written_by(client, "w") >= masters.writer().acknowledged());
        // What did not happen can be done again.
        if (!is_master) client.call("replication.promote");
        epoch = std::stoull(status_text(slave, "replication_epoch"));
        masters.change_places();
    }
    MESSAGE(happened << " of " << rounds << " promotions had happened when the slave was killed");
    masters.check_end();
}

}  // namespace karma::test
