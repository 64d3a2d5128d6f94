// What a client that asks for much at once costs the others.
#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include <doctest/doctest.h>

#include "net/server.h"
#include "tests/support/client.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

/// A list of series takes long, until a ping has come.
class SlowLists final : public Executor {
public:
    void execute(std::span<const Request> requests, std::span<Outcome> outcomes) override {
        for (std::size_t i = 0; i < requests.size(); ++i) {
            if (std::holds_alternative<query::Ping>(requests[i])) {
                lists_before_ping_ = lists_.load();
                has_pinged_ = true;
            } else {
                ++lists_;
                if (!has_pinged_) std::this_thread::sleep_for(std::chrono::milliseconds(15));
            }
            outcomes[i] = {Reply(reply::Pong{}), 0};
        }
    }
    Stats& stats() noexcept override { return stats_; }
    bool accepts_writes() const noexcept override { return true; }
    Lsn durable_lsn() const noexcept override { return 0; }
    bool has_failed() const noexcept override { return false; }
    int add_durable_listener(std::function<void()> /*listener*/) override { return 0; }
    void remove_durable_listener(int /*number*/) override {}

    int lists() const { return lists_; }
    int lists_before_ping() const { return lists_before_ping_; }

private:
    Stats stats_;
    std::atomic<int> lists_{0};
    std::atomic<int> lists_before_ping_{0};
    std::atomic<bool> has_pinged_{false};
};

}  // namespace

TEST_CASE(
    "server: who sends many requests at once that take long does not hold up the others until their end") {
    constexpr int count = 4000;  // a minute, if nobody came between
    net::ServerOptions options;
    options.address = "127.0.0.1";
    options.port = 0;
    options.threads = 1;
    options.read_timeout = std::chrono::milliseconds(200);  // the time of those that wait is not the client's
    SlowLists executor;
    net::Log log{net::LogLevel::warning};
    net::Server server(options, executor, log);
    server.start();
    Client other(server.port());
    Client greedy(server.port());
    std::string lines;
    for (int i = 0; i < count; ++i) lines += request("tree.list") + "\n";
    greedy.send(lines);
    for (int i = 0; i < 3; ++i) greedy.receive_line();  // it has begun
    other.call("system.ping");
    CHECK(executor.lists_before_ping() < count);
    for (int i = 3; i < count; ++i) REQUIRE(contains(greedy.receive_line(), "\"success\":true"));
    CHECK(executor.lists() == count);
    // Both are served as before.
    greedy.call("system.ping");
    other.call("system.ping");
}

}  // namespace karma::test
