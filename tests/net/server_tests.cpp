#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>

#include "net/server.h"
#include "tests/net/fake_executor.h"
#include "tests/support/client.h"

namespace karma::test {

namespace {

constexpr const char* increment =
    R"({"v":2,"op":"counter.increment","series":"a","key":1,"bucket":20260505})";
constexpr const char* sum = R"({"v":2,"op":"counter.sum","series":"a","key":1})";
constexpr const char* ping = R"({"v":2,"op":"system.ping"})";
constexpr const char* top = R"({"v":2,"op":"tree.top","series":"a"})";

/// A server on a free port, with a database that the test moves by hand.
struct Running {
    explicit Running(net::ServerOptions changed = {}, unsigned threads = 1) : options(std::move(changed)) {
        options.address = "127.0.0.1";
        options.port = 0;
        options.threads = threads;
        server = std::make_unique<net::Server>(options, executor, log);
        server->start();
    }

    Client connect() const { return Client(server->port()); }

    net::ServerOptions options;
    test::FakeExecutor executor;
    net::Log log{net::LogLevel::warning};
    std::unique_ptr<net::Server> server;
};

net::ServerOptions patient() {
    net::ServerOptions options;
    options.read_timeout = std::chrono::minutes(5);
    options.write_timeout = std::chrono::minutes(5);
    return options;
}

std::string lines(const char* line, int count) {
    std::string all;
    for (int i = 0; i < count; ++i) {
        all += line;
        all += '\n';
    }
    return all;
}

std::string response_of(Client& client) {
    return boost::json::serialize(client.receive().as_object()["response"]);
}

std::string error_of(Client& client) {
    const test::json::value reply = client.receive();
    const test::json::value& code = reply.as_object().at("error_code");
    return code.is_null() ? "" : std::string(code.as_string());
}

bool arrives_within(Client& client, std::chrono::milliseconds wait) {
    try {
        client.receive_line();
        return true;
    } catch (const test::ClientTimeout&) {
        static_cast<void>(wait);
        return false;
    }
}

}  // namespace

TEST_CASE("server: a reply leaves when what it shows is durable, not before") {
    const Running running(patient());
    Client client(running.server->port(), std::chrono::milliseconds(200));
    auto& executor = const_cast<Running&>(running).executor;
    client.send(lines(ping, 1));
    CHECK(response_of(client) == "\"pong\"");
    client.send(lines(increment, 2) + lines(sum, 1));
    REQUIRE(executor.wait_for_events(2, test::patience()));
    CHECK_FALSE(arrives_within(client, std::chrono::milliseconds(200)));
    Client other = running.connect();
    other.send(lines(ping, 1));
    CHECK(response_of(other) == "\"pong\"");  // nothing of his waits
    executor.make_durable(2);
    Client patient_client = running.connect();
    patient_client.send(lines(sum, 1));
    CHECK(response_of(patient_client) == "2");
    CHECK(response_of(client) == "1");
    CHECK(response_of(client) == "2");
    CHECK(response_of(client) == "2");
}

TEST_CASE("server: when the log fails, whatever waited becomes an error, one for each request") {
    Running running(patient());
    Client client = running.connect();
    client.send(lines(increment, 1));
    REQUIRE(running.executor.wait_for_events(1, test::patience()));
    running.executor.make_durable(1);
    CHECK(response_of(client) == "1");
    client.send(lines(increment, 3));
    REQUIRE(running.executor.wait_for_events(4, test::patience()));
    client.send(lines(ping, 2));
    running.executor.fail();
    for (int i = 0; i < 3; ++i) {
        CHECK(error_of(client) == "internal_error");
    }
    for (int i = 0; i < 2; ++i) {
        const std::string code = error_of(client);
        CHECK((code.empty() || code == "internal_error"));
    }
    client.send(lines(ping, 1));
    CHECK(response_of(client) == "\"pong\"");
}

TEST_CASE(
    "server: what waits when the history changes becomes an error, and what comes then waits for its own") {
    Running running(patient());
    running.executor.make_durable(100);
    running.executor.begin_generation(100);
    Client waiting = running.connect();
    waiting.send(lines(increment, 3));
    REQUIRE(running.executor.wait_for_events(103, test::patience()));
    running.executor.begin_generation(10);  // lower: 101 to 103 will not come for long
    for (int i = 0; i < 3; ++i) {
        CHECK(waiting.receive().as_object()["error_code"].as_string() == "replication_error");
    }
    waiting.send(lines(increment, 2));
    Client other = running.connect();
    other.send(lines(increment, 1));
    REQUIRE(running.executor.wait_for_events(13, test::patience()));
    running.executor.make_durable(13);
    CHECK(waiting.receive().as_object()["success"].as_bool());
    CHECK(waiting.receive().as_object()["success"].as_bool());
    CHECK(other.receive().as_object()["success"].as_bool());
}

TEST_CASE("server: a slow scan holds up its own connection only, and keeps the order there") {
    Running running(patient());
    running.executor.make_durable(1'000);
    Client slow = running.connect();
    slow.send(lines(ping, 1) + lines(top, 1) + lines(ping, 1) + lines(sum, 1));
    CHECK(response_of(slow) == "\"pong\"");
    Client other = running.connect();
    for (int i = 0; i < 20; ++i) {
        other.send(lines(sum, 1));
        CHECK(response_of(other) == "0");
    }
    slow.send(lines(ping, 1));
    running.executor.release_tasks();
    CHECK(response_of(slow).find("slow") != std::string::npos);
    CHECK(response_of(slow) == "\"pong\"");
    CHECK(response_of(slow) == "0");
    CHECK(response_of(slow) == "\"pong\"");
}

TEST_CASE("server: reads no further from a client whose requests wait for the disk") {
    net::ServerOptions options = patient();
    options.request_bytes_max = 4096;
    Running running(options);
    Client client = running.connect();
    const std::string request = std::string(increment) + std::string(4000, ' ') + "\n";
    constexpr std::size_t bytes_max = 64 << 20;
    std::size_t sent = 0;
    std::string rest;
    while (sent < bytes_max && client.wait_writable(std::chrono::milliseconds(500))) {
        rest = rest.empty() ? request : rest;
        const std::size_t size = client.send_some(rest);
        rest.erase(0, size);
        sent += size;
    }
    CHECK(sent < bytes_max);  // the rest fills the buffers of the system
    const Lsn executed = running.executor.events();
    CHECK(executed >= 100);
    CHECK(executed * request.size() < std::size_t{4} << 20);
    Client other = running.connect();
    other.send(lines(ping, 1));
    CHECK(response_of(other) == "\"pong\"");
    running.executor.make_durable(1'000'000);
    for (Lsn i = 1; i <= executed; ++i) {
        REQUIRE(response_of(client) == std::to_string(i));
    }
}

TEST_CASE("server: a longer request than allowed is answered, then the connection closed") {
    net::ServerOptions options = patient();
    options.request_bytes_max = 100;
    Running running(options);
    Client exact = running.connect();
    exact.send(std::string(ping) + std::string(100 - std::string(ping).size(), ' ') + "\n");
    CHECK(response_of(exact) == "\"pong\"");
    exact.send(std::string(101, 'x') + "\n" + lines(ping, 1));
    CHECK(error_of(exact) == "request_too_large");
    CHECK(exact.closed_by_server());
    Client endless = running.connect();
    endless.send(lines(ping, 1) + std::string(150, 'x'));  // no newline
    CHECK(response_of(endless) == "\"pong\"");
    CHECK(error_of(endless) == "request_too_large");
}

TEST_CASE("server: a last line without newline is a request, when its sender has ended") {
    Running running(patient());
    Client client = running.connect();
    client.send(lines(ping, 1) + ping + "\r\n" + ping);
    client.finish_sending();
    for (int i = 0; i < 3; ++i) {
        CHECK(response_of(client) == "\"pong\"");
    }
    CHECK(client.closed_by_server());
}

TEST_CASE("server: a connection is closed that does not take its replies") {
    net::ServerOptions options;
    options.write_timeout = std::chrono::milliseconds(200);
    Running running(options);
    running.executor.make_durable(1'000'000'000);
    Client deaf = running.connect();
    try {
        for (;;) {
            deaf.send(lines(ping, 1'000));
        }
    } catch (const test::ConnectionClosed&) {
        CHECK(true);
    }
}

TEST_CASE("server: what is executed is committed, though nobody waits for it yet") {
    Running running(patient());
    Client client = running.connect();
    client.send(lines(top, 1) + lines(increment, 2));
    CHECK(running.executor.wait_for_commit(2, test::patience()));
    running.executor.release_tasks();
    running.executor.make_durable(2);
    CHECK(response_of(client).find("slow") != std::string::npos);
    CHECK(response_of(client) == "1");
    CHECK(response_of(client) == "2");
}

TEST_CASE("server: what is executed is committed, though its client has gone") {
    Running running(patient());
    {
        Client client = running.connect();
        client.send(lines(top, 1) + lines(increment, 1));
        REQUIRE(running.executor.wait_for_tasks(1, test::patience()));
    }
    CHECK(running.executor.wait_for_commit(1, test::patience()));
    running.executor.release_tasks();
}

TEST_CASE("server: nothing behind a task that changes the state is executed before it is done") {
    constexpr const char* load = R"({"v":2,"op":"snapshot.load","file":"1_a.tree"})";
    Running running(patient());
    running.executor.make_durable(1'000);
    Client client = running.connect();
    client.send(lines(increment, 1) + lines(load, 1) + lines(increment, 1) + lines(sum, 1));
    CHECK(response_of(client) == "1");
    REQUIRE(running.executor.wait_for_tasks(1, test::patience()));
    CHECK(running.executor.events() == 1);
    running.executor.release_tasks(TaskKind::administration);
    CHECK(response_of(client).find("slow") != std::string::npos);
    CHECK(response_of(client) == "3");  // the load was the second
    CHECK(response_of(client) == "3");
}

TEST_CASE("server: queries and control do not wait behind administration, nor control behind queries") {
    constexpr const char* verify = R"({"v":2,"op":"snapshot.verify"})";
    constexpr const char* promote = R"({"v":2,"op":"replication.promote"})";
    Running running(patient());
    std::vector<Client> verifying;
    for (int i = 0; i < 20; ++i) {
        verifying.push_back(running.connect());
        verifying.back().send(lines(verify, 1));
    }
    REQUIRE(running.executor.wait_for_tasks(2, test::patience()));
    running.executor.release_tasks(TaskKind::query);
    Client client = running.connect();
    client.send(lines(top, 1));
    CHECK(response_of(client).find("slow") != std::string::npos);
    running.executor.release_tasks(TaskKind::control);
    client.send(lines(promote, 1));
    CHECK(response_of(client).find("slow") != std::string::npos);
    running.executor.release_tasks(TaskKind::administration);
    for (Client& one : verifying) {
        CHECK(response_of(one).find("slow") != std::string::npos);
    }
}

TEST_CASE("server: the time of a query in the queue counts") {
    net::ServerOptions options = patient();
    options.query_timeout = std::chrono::milliseconds(200);
    Running running(options);
    Client client = running.connect();
    client.send(lines(top, 3));  // received together, run one after the other
    for (int i = 0; i < 3; ++i) {
        CHECK(error_of(client) == "query_timeout");
    }
    CHECK(running.executor.tasks() <= 1);
}

TEST_CASE("server: the time for queries does not bound administration, which a stop cancels") {
    constexpr const char* verify = R"({"v":2,"op":"snapshot.verify"})";
    net::ServerOptions options = patient();
    options.query_timeout = std::chrono::milliseconds(20);
    options.shutdown_timeout = std::chrono::minutes(5);
    Running running(options);
    Client client = running.connect();
    client.send(lines(verify, 1));
    REQUIRE(running.executor.wait_for_tasks(1, test::patience()));
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    SUBCASE("released") {
        running.executor.release_tasks(TaskKind::administration);
        CHECK(response_of(client).find("slow") != std::string::npos);
    }
    SUBCASE("cancelled") {
        running.server->stop();
        const test::json::value reply = client.receive();
        CHECK(test::member(reply, "error_code") == test::json::value("internal_error"));
        CHECK(test::member(reply, "response").as_string().find("stopping") != std::string::npos);
        running.server->join();
    }
}

TEST_CASE("server: without a limit a query that is under way does not hold up the end") {
    net::ServerOptions options = patient();
    options.query_timeout = std::chrono::milliseconds(0);
    options.shutdown_timeout = std::chrono::milliseconds(50);
    Running running(options);
    Client client = running.connect();
    client.send(lines(top, 1));
    REQUIRE(running.executor.wait_for_tasks(1, test::patience()));
    running.server->stop();
    running.server->join();
}

namespace {

/// Whether the keep-alive timer runs for a connection that was accepted on this port, as the system shows it.
bool has_keep_alive_timer(std::uint16_t port) {
    std::ifstream connections("/proc/net/tcp");
    std::string line;
    while (std::getline(connections, line)) {
        std::istringstream fields(line);
        std::string number;
        std::string local;
        std::string remote;
        std::string state;
        std::string queues;
        std::string timer;
        fields >> number >> local >> remote >> state >> queues >> timer;
        const std::size_t colon = local.find(':');
        constexpr const char* established = "01";
        if (colon != std::string::npos && state == established &&
            std::stoul(local.substr(colon + 1), nullptr, 16) == port && timer.starts_with("02:")) {
            return true;
        }
    }
    return false;
}

}  // namespace

TEST_CASE("server: TCP looks after clients that have gone without a word") {
    const Running running(patient());
    Client client = running.connect();
    client.send(lines(ping, 1));
    CHECK(response_of(client) == "\"pong\"");
    const auto end = std::chrono::steady_clock::now() + test::patience();
    while (!has_keep_alive_timer(running.server->port()) && std::chrono::steady_clock::now() < end) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    CHECK(has_keep_alive_timer(running.server->port()));
}

TEST_CASE("server: a connection that waits for the disk is not silent") {
    net::ServerOptions options;
    options.read_timeout = std::chrono::milliseconds(100);
    Running running(options);
    Client client = running.connect();
    client.send(lines(increment, 1));
    REQUIRE(running.executor.wait_for_events(1, test::patience()));
    std::this_thread::sleep_for(std::chrono::milliseconds(600));
    running.executor.make_durable(1);
    CHECK(response_of(client) == "1");
}

TEST_CASE("server: stopping answers what was received and closes") {
    for (const unsigned threads : {1U, 3U}) {
        Running running(patient(), threads);
        std::vector<Client> clients;
        for (int i = 0; i < 30; ++i) {
            clients.push_back(running.connect());
            clients.back().send(lines(increment, 10));
        }
        REQUIRE(running.executor.wait_for_events(300, test::patience()));
        running.server->stop();
        running.executor.make_durable(300);
        running.server->join();
        for (Client& client : clients) {
            for (int i = 0; i < 10; ++i) {
                CHECK(error_of(client).empty());
            }
            CHECK(client.closed_by_server());
        }
        CHECK_THROWS(running.connect().receive_line());
    }
}

TEST_CASE("server: many connections on several threads, pipelined") {
    Running running(patient(), 3);
    running.executor.make_durable(1'000'000'000);
    std::vector<Client> clients;
    for (int i = 0; i < 200; ++i) {
        clients.push_back(running.connect());
    }
    for (int round = 0; round < 3; ++round) {
        for (Client& client : clients) {
            client.send(lines(ping, 20) + lines("nonsense", 1) + lines(sum, 1));
        }
        for (Client& client : clients) {
            for (int i = 0; i < 20; ++i) {
                REQUIRE(response_of(client) == "\"pong\"");
            }
            CHECK(error_of(client) == "invalid_json");
            CHECK(response_of(client) == "0");
        }
    }
    CHECK(Stats::get(running.executor.stats().commands) == 3 * 200 * 22);
    CHECK(Stats::get(running.executor.stats().errors) == 3 * 200);
}

TEST_CASE("server: an address that cannot be used is named") {
    Running running;
    net::ServerOptions options;
    options.address = "127.0.0.1";
    options.port = running.server->port();
    test::FakeExecutor executor;
    net::Log log(net::LogLevel::warning);
    CHECK_THROWS_WITH(net::Server(options, executor, log),
                      doctest::Contains(("127.0.0.1:" + std::to_string(options.port)).c_str()));
    options.address = "no such host.invalid";
    CHECK_THROWS_WITH(net::Server(options, executor, log), doctest::Contains("--bind"));
}

TEST_CASE("server: requests with keys wait for the idempotency records, in order, and others do not") {
    constexpr const char* keyed =
        R"({"v":2,"op":"counter.increment","series":"a","key":1,"bucket":20260505,"idempotency_key":"k"})";
    constexpr const char* prune = R"({"v":2,"op":"idempotency.prune","before":1})";
    Running running;
    running.executor.hold_records();
    Client waiting = running.connect();
    Client other = running.connect();
    waiting.send(lines(increment, 1) + lines(keyed, 1) + lines(sum, 1));
    running.executor.make_durable(10'000);
    CHECK(response_of(waiting) == "1");
    other.send(lines(increment, 1));
    CHECK(response_of(other) == "2");  // nobody else waits
    Client pruning = running.connect();
    pruning.send(lines(prune, 1));
    CHECK(running.executor.events() == 2);
    // More than a request may have is not read meanwhile, and not lost.
    waiting.send(lines(increment, 500));
    running.executor.release_records();
    CHECK(response_of(pruning) != "");
    CHECK(response_of(waiting) != "");  // the keyed one
    const std::string seen = response_of(waiting);
    CHECK(std::stoull(seen) >= 3);  // the sum shows it
    for (int i = 0; i < 500; ++i) {
        response_of(waiting);
    }
    CHECK(running.executor.events() == 504);
}

TEST_CASE("server: a connection that waits for the idempotency records is not silent") {
    net::ServerOptions options;
    options.read_timeout = std::chrono::milliseconds(50);
    Running running(options);
    running.executor.hold_records();
    running.executor.make_durable(100);
    Client waiting = running.connect();
    waiting.send(
        R"({"v":2,"op":"counter.increment","series":"a","key":1,"bucket":20260505,"idempotency_key":"k"})"
        "\n");
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    running.executor.release_records();
    CHECK(response_of(waiting) == "1");
}

}  // namespace karma::test
