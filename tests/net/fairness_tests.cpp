// What a client that asks for much at once costs the others.
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "net/server.h"
#include "tests/support/client.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

class ListCounter : public Executor {
public:
    Stats& stats() noexcept override { return stats_; }
    bool accepts_writes() const noexcept override { return true; }
    Lsn durable_lsn() const noexcept override { return 0; }
    bool has_failed() const noexcept override { return false; }
    int add_durable_listener(std::function<void()> /*listener*/) override { return 0; }
    void remove_durable_listener(int /*number*/) override {}

    int lists() const { return lists_; }
    int lists_before_ping() const { return lists_before_ping_; }

protected:
    Stats stats_;
    std::atomic<int> lists_{0};
    std::atomic<int> lists_before_ping_{0};
};

/// The first list of series goes on until it is told to end. A ping counts once that was begun.
class HeldList final : public ListCounter {
public:
    void execute(std::span<const Request> requests, std::span<Outcome> outcomes) override {
        for (std::size_t i = 0; i < requests.size(); ++i) {
            if (std::holds_alternative<query::Ping>(requests[i])) {
                lists_before_ping_ = lists_.load();
            } else if (++lists_ == 1) {
                is_held_.set_value();
                end_.get_future().wait();
            }
            outcomes[i] = {Reply(reply::Pong{}), 0};
        }
    }
    void wait_until_held() { is_held_.get_future().wait(); }
    void end() { end_.set_value(); }

private:
    std::promise<void> is_held_;
    std::promise<void> end_;
};

/// A list of series takes long, until a ping has come.
class SlowLists final : public ListCounter {
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

private:
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

TEST_CASE("server: of requests that make large replies one is executed before the others have their turn") {
    constexpr int count = 20;
    net::ServerOptions options;
    options.address = "127.0.0.1";
    options.port = 0;
    options.threads = 1;
    HeldList executor;
    net::Log log{net::LogLevel::warning};
    net::Server server(options, executor, log);
    server.start();
    std::vector<std::unique_ptr<Client>> greedy;
    for (int i = 0; i < count; ++i) {
        greedy.push_back(std::make_unique<Client>(server.port()));
        greedy.back()->call("system.ping");
    }
    Client other(server.port());
    other.call("system.ping");
    const std::string list = request("tree.list") + "\n";
    greedy.front()->send(list);
    executor.wait_until_held();
    // All of this is there when the thread looks again, the ping last.
    const std::string lines = list + request("system.nothing") + "\n" + list;
    for (const auto& client : greedy) client->send(lines);
    other.send(request("system.ping") + "\n");
    executor.end();
    other.receive_line();
    CHECK(executor.lists_before_ping() <= 3);
    greedy.front()->receive_line();
    for (const auto& client : greedy) {
        for (int i = 0; i < 3; ++i) CHECK(contains(client->receive_line(), "\"protocol_version\":2"));
    }
    CHECK(executor.lists() == 1 + 2 * count);
}

}  // namespace karma::test
