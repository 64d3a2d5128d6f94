// Clients that write while the daemon is killed at random moments: what was acknowledged is there, what was
// not sent is not, and nothing is there twice or in part.
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "tests/program/daemon_arguments.h"
#include "tests/program/points.h"
#include "tests/program/writer.h"
#include "tests/support/daemon.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

constexpr std::size_t writer_count = 4;

class CrashedWriters {
public:
    explicit CrashedWriters(std::uint64_t seed) : random_(seed), daemon_(random_arguments(random_)) {
        for (std::size_t i = 0; i < writer_count; ++i) writers_.emplace_back(i + 1, "links", random_());
    }

    void write_and_crash() {
        const std::uint64_t threshold = random_between(random_, 0, scaled(3000));
        const auto pause = std::chrono::microseconds(random_between(random_, 0, 3000));
        std::atomic<std::uint64_t> acknowledged{0};
        std::atomic<std::size_t> writing{writer_count};
        const std::atomic<bool> never{false};
        std::vector<std::thread> threads;
        for (Writer& writer : writers_) {
            const std::size_t window = random_between(random_, 1, 64);
            threads.emplace_back([&, window] {
                writer.run(daemon_.port(), window, acknowledged, never);
                --writing;
            });
        }
        const auto deadline = std::chrono::steady_clock::now() + patience(std::chrono::seconds(30));
        while (acknowledged < threshold && writing > 0 && std::chrono::steady_clock::now() < deadline) {
            std::this_thread::sleep_for(std::chrono::microseconds(100));
        }
        std::this_thread::sleep_for(pause);
        const bool running = daemon_.running();
        const ExitStatus status = daemon_.kill_hard();
        CHECK_MESSAGE(running, "the daemon ended before it was killed: " << to_string(status));
        for (std::thread& thread : threads) thread.join();
        CHECK(acknowledged >= threshold);
    }

    // Some starts are cut short too.
    void restart() {
        daemon_.set_arguments(random_arguments(random_));
        while (random_between(random_, 0, 2) == 0) {
            daemon_.start_unready();
            std::this_thread::sleep_for(std::chrono::microseconds(random_between(random_, 0, 40000)));
            daemon_.kill_hard();
        }
        daemon_.start();
    }

    void check() {
        Client client = daemon_.connect();
        const Points found = read_points(client, "links");
        Points shared;
        for (Writer& writer : writers_) {
            REQUIRE(writer.problem() == "");
            sent_ += writer.sent();
            REQUIRE(writer.settle(found, shared) == "");
        }
        std::uint64_t total = 0;
        for (const auto& [point, value] : found) {
            total += value;
            if (point.first == Writer::shared_key) {
                const std::uint32_t bucket = point.second;
                CAPTURE(bucket);
                CHECK(value == shared[point]);
                shared.erase(point);
            }
        }
        CHECK(shared.empty());
        if (!found.empty()) {
            const json::value info = client.call("tree.info", {{"series", "links"}});
            CHECK(as_number(member(info, "total")) == total);
            CHECK(as_number(member(info, "bucket_count")) == found.size());
        }
    }

    std::size_t sent() const { return sent_; }

private:
    std::mt19937_64 random_;
    Daemon daemon_;
    std::deque<Writer> writers_;
    std::size_t sent_ = 0;
};

}  // namespace

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
