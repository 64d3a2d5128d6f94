// Clients that write while the daemon is killed at random moments: what was acknowledged is there, what was
// not sent is not, and nothing is there twice or in part.
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/program/crashed_writers.h"
#include "tests/support/daemon.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

TEST_CASE("crash: what clients were told is there, and nothing that they did not send") {
    CrashedWriters run(random_engine("crashed writers")());
    const std::size_t rounds = number_from_environment("KARMA_TEST_ROUNDS", scaled(40));
    for (std::size_t round = 0; round < rounds; ++round) {
        CAPTURE(round);
        run.write_and_crash();
        run.restart();
        run.check();
    }
    CHECK(run.sent() > 0);
}

TEST_CASE(
    "crash: in the middle of a snapshot, a compaction, a clean-up: the counters are what they have to be") {
    // Old events go with each snapshot, so that the next start begins with it.
    CrashedWriters run(random_engine("crashed care")(),
                       {"--max-request-bytes=1048576", "--event-retention-bytes=1",
                        "--dump-retention-per-tree=1", "--wal-segment-bytes=65536"});
    const json::object old{{"series", "old"}};
    // Deletes days of its own series, so that there is something to clean up: all older than the 15th, or
    // none.
    const auto fill = [&](Client& client) {
        json::array items;
        for (std::uint64_t key = 0; key < 100; ++key) {
            for (std::uint64_t day = 1; day <= 28; ++day)
                items.push_back(json::array{key, 20260100 + day, 1});
        }
        client.call("tree.create", old);
        client.call("series.batch_set", {{"series", "old"}, {"items", std::move(items)}});
    };
    const CrashedWriters::Care care = [&](Client& client, std::mt19937_64& random) {
        switch (random_between(random, 0, 5)) {
            case 0:
            case 1: client.call("snapshot.create_all"); break;
            case 2: {
                // Not found while nobody has written yet.
                const std::string error = client.error_of("snapshot.create", {{"series", "links"}});
                if (!error.empty() && error != "not_found")
                    throw std::runtime_error("snapshot.create: " + error);
                break;
            }
            case 3: client.call("system.compact"); break;
            case 4: client.call("tree.delete_before", {{"series", "old"}, {"before", 20260115}}); break;
            default:
                client.call("tree.compact", old);
                fill(client);
                break;
        }
    };
    {
        Client client = run.daemon().connect();
        fill(client);
    }
    const std::size_t rounds = number_from_environment("KARMA_TEST_ROUNDS", scaled(20));
    for (std::size_t round = 0; round < rounds; ++round) {
        CAPTURE(round);
        run.write_and_crash(care);
        run.restart();
        run.check();
        Client client = run.daemon().connect();
        const std::uint64_t left = as_number(member(client.call("tree.summary", old), "total"));
        CHECK_MESSAGE((left == 2800 || left == 1400), left);
        client.call("snapshot.verify");
    }
}

TEST_CASE("crash: a batch that was rejected leaves nothing behind, and the next start works") {
    Daemon daemon;
    {
        Client client = daemon.connect();
        client.call("counter.increment",
                    {{"series", "a"}, {"key", 1}, {"bucket", 20260505}, {"value", largest - 5}});
        // The last item passes 2^64-1 in its bucket, then in its key's total.
        const auto add = [&](std::uint64_t last_bucket) {
            const json::array items{json::array{2, 20260505, 1}, json::array{1, last_bucket, 6}};
            return client.error_of("series.batch_add", {{"series", "a"}, {"items", items}});
        };
        CHECK(add(20260505) == "validation_error");
        CHECK(add(20260506) == "validation_error");
        CHECK(client.error_of("series.batch_add", {{"series", "new"},
                                                   {"items", json::array{json::array{1, 20260505, largest},
                                                                         json::array{1, 20260505, 1}}}}) ==
              "validation_error");
        CHECK(client.error_of("tree.drop", {{"series", "missing"}}) == "not_found");
        CHECK(client.error_of("counter.increment", {{"series", "a"}, {"key", 1}, {"bucket", 20260231}}) ==
              "validation_error");
    }
    for (int start = 0; start < 3; ++start) {
        CAPTURE(start);
        if (start > 0) daemon.restart_after_kill();
        Client client = daemon.connect();
        CHECK(client.call("tree.list") == json::value(json::array{"a"}));
        CHECK(as_number(client.call("counter.sum", {{"series", "a"}, {"key", 1}})) == largest - 5);
        CHECK(as_number(client.call("counter.sum", {{"series", "a"}, {"key", 2}})) == 0);
        const json::value info = client.call("tree.info", {{"series", "a"}});
        CHECK(as_number(member(info, "key_count")) == 1);
        CHECK(as_number(member(info, "bucket_count")) == 1);
    }
}

TEST_CASE("crash: a series that was dropped stays dropped, and one made again starts empty") {
    Daemon daemon;
    {
        Client client = daemon.connect();
        client.call("counter.increment", {{"series", "a"}, {"key", 1}, {"bucket", 20260505}, {"value", 5}});
        client.call("counter.increment", {{"series", "b"}, {"key", 1}, {"bucket", 20260505}, {"value", 5}});
        client.call("tree.drop", {{"series", "a"}});
        client.call("tree.drop", {{"series", "b"}});
        client.call("tree.create", {{"series", "b"}});
    }
    daemon.restart_after_kill();
    Client client = daemon.connect();
    CHECK(client.call("tree.list") == json::value(json::array{"b"}));
    CHECK(as_number(client.call("counter.sum", {{"series", "b"}, {"key", 1}})) == 0);
}

TEST_CASE("crash: with --storage=memory the daemon answers, and starts empty again") {
    Daemon daemon(std::vector<std::string>{"--storage=memory"});
    {
        Client client = daemon.connect();
        client.call("counter.increment", {{"series", "a"}, {"key", 1}, {"bucket", 20260505}, {"value", 5}});
        CHECK(as_number(client.call("counter.sum", {{"series", "a"}, {"key", 1}})) == 5);
    }
    daemon.restart_after_kill();
    CHECK(daemon.connect().call("tree.list") == json::value(json::array{}));
}

}  // namespace karma::test
