// How the daemon ends: SIGINT and SIGTERM finish what was received, a second signal does not wait.
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "tests/program/crashed_writers.h"
#include "tests/support/comes_true.h"
#include "tests/support/daemon.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

// A client with replies under way that it does not take: more than the buffers of the system hold.
Client deaf_client(const Daemon& daemon) {
    Client client = daemon.connect();
    json::array items;
    for (int key = 0; key < 2000; ++key) items.push_back(json::array{key, 20260505, 1000000000});
    client.call("series.batch_add", {{"series", "wide"}, {"items", items}});
    std::string bytes;
    for (int i = 0; i < 1000; ++i)
        bytes += request("tree.keys", {{"series", "wide"}, {"limit", 10000}}) + "\n";
    client.send(bytes);
    return client;
}

// Without a pause between two tries. False when the daemon ends, or does not listen.
bool wait_for_listener(Daemon& daemon) {
    const auto deadline = std::chrono::steady_clock::now() + patience();
    while (daemon.running() && std::chrono::steady_clock::now() < deadline) {
        try {
            daemon.connect();
            return true;
        } catch (const std::system_error&) {
            std::this_thread::yield();
        }
    }
    return false;
}

std::vector<std::string> patient_arguments(const std::string& shutdown_timeout) {
    return {"--shutdown-timeout=" + shutdown_timeout, "--write-timeout=600", "--read-timeout=600",
            "--max-request-bytes=1048576"};
}

/// Requests that add 1, 2, 3 and so on to a counter.
std::string increments(std::uint64_t count) {
    std::string bytes;
    for (std::uint64_t i = 1; i <= count; ++i) {
        bytes +=
            request("counter.increment", {{"series", "a"}, {"key", 1}, {"bucket", 20260505}, {"value", i}}) +
            "\n";
    }
    return bytes;
}

}  // namespace

TEST_CASE("shutdown: SIGHUP does not end it") {
    Daemon daemon;
    daemon.connect().call("counter.increment", {{"series", "a"}, {"key", 1}});
    daemon.send_signal(SIGHUP);
    // What comes after it is taken after it.
    const ExitStatus status = daemon.stop(SIGTERM);
    CHECK(status.code == 0);
}

TEST_CASE("shutdown: a snapshot under way is given up or stored, and either way nothing is lost") {
    Daemon daemon(patient_arguments("600"));
    constexpr std::uint64_t series = 500;
    std::string bytes;
    for (std::uint64_t i = 0; i < series; ++i) {
        bytes += request("counter.increment",
                         {{"series", "s" + std::to_string(i)}, {"key", 1}, {"bucket", 20260505}}) +
                 "\n";
    }
    {
        Client client = daemon.connect();
        client.send(bytes);
        for (std::uint64_t i = 0; i < series; ++i) client.receive();
    }
    for (const int signal : {SIGTERM, SIGINT, SIGTERM, SIGINT}) {
        CAPTURE(signal);
        Client client = daemon.connect();
        client.call("system.ping");  // it is accepted
        client.send(request("snapshot.create_all") + "\n" + request("snapshot.create_all") + "\n");
        daemon.send_signal(SIGUSR1);
        daemon.send_signal(signal);
        for (int i = 0; i < 2; ++i) {
            const json::value reply = client.receive();
            const bool is_stored = member(reply, "success").as_bool();
            CHECK(
                (is_stored || member(reply, "response").as_string() == "Cancelled: the daemon is stopping"));
        }
        CHECK(daemon.wait() == ExitStatus{.code = 0, .signal = 0});
        daemon.start();
    }
    CHECK(member(daemon.connect().call("snapshot.verify"), "trees") == series);
}

TEST_CASE("shutdown: signals that come while the state is restored neither end it uncleanly nor get lost") {
    Daemon daemon(std::vector<std::string>{"--log=true", "--snapshot-interval-seconds=0"});
    {
        Client client = daemon.connect();
        std::uint64_t key = 0;
        for (std::size_t batch = 0; batch < scaled(100); ++batch) {
            json::array items;
            for (int i = 0; i < 2'000; ++i) items.push_back(json::array{++key, 20260505, 1});
            client.call("series.batch_add", {{"series", "wide"}, {"items", std::move(items)}});
        }
    }
    daemon.kill_hard();
    const auto count = [&](const char* event) {
        const std::string log = daemon.standard_output();
        std::size_t found = 0;
        for (std::size_t at = log.find(event); at != std::string::npos; at = log.find(event, at + 1)) ++found;
        return found;
    };
    // It has the lock before it restores, and listens behind that.
    const auto start_restoring = [&] {
        daemon.start_unready();
        const auto has_lock = [&] {
            return read_file(daemon.directory() / "karma.lock") == std::to_string(daemon.pid());
        };
        REQUIRE(comes_true(has_lock));
    };
    for (const int signal : {SIGUSR1, SIGHUP}) {
        CAPTURE(signal);
        const std::size_t listened = count("\"listening\"");
        const std::size_t taken = count(signal == SIGUSR1 ? "\"snapshot_saved\"" : "\"reloaded\"");
        start_restoring();
        daemon.send_signal(signal);
        CHECK(comes_true([&] { return count("\"listening\"") == listened + 1; }));
        CHECK(comes_true(
            [&] { return count(signal == SIGUSR1 ? "\"snapshot_saved\"" : "\"reloaded\"") == taken + 1; }));
        CHECK(daemon.connect().call("system.ping") == json::value("pong"));
        daemon.kill_hard();
    }
    for (const int signal : {SIGTERM, SIGINT}) {
        CAPTURE(signal);
        start_restoring();
        CHECK(daemon.stop(signal) == ExitStatus{.code = 0, .signal = 0});
    }
}

TEST_CASE("shutdown: a signal finishes what was received, and exits 0") {
    for (const int signal : {SIGTERM, SIGINT}) {
        CAPTURE(signal);
        Daemon daemon;
        Client client = daemon.connect();
        constexpr std::uint64_t count = 100;
        client.send(increments(count));
        CHECK(as_number(member(client.receive(), "response")) == 1);  // so all has arrived
        daemon.send_signal(signal);
        for (std::uint64_t i = 2; i <= count; ++i) {
            CAPTURE(i);
            REQUIRE(as_number(member(client.receive(), "response")) == i);
        }
        CHECK(client.closed_by_server());
        CHECK(daemon.wait() == ExitStatus{.code = 0, .signal = 0});
        CHECK(daemon.standard_error() == "");
        CHECK_THROWS_AS(daemon.connect(), std::system_error);

        daemon.start();
        CHECK(as_number(daemon.connect().call("counter.sum", {{"series", "a"}, {"key", 1}})) ==
              count * (count + 1) / 2);
    }
}

TEST_CASE("shutdown: a signal that comes as soon as the daemon listens is heard, too") {
    Daemon daemon;
    for (std::size_t start = 0; start < scaled(30); ++start) {
        CAPTURE(start);
        daemon.stop();
        daemon.start_unready();
        REQUIRE(wait_for_listener(daemon));
        CHECK(daemon.stop(start % 2 == 0 ? SIGTERM : SIGINT) == ExitStatus{.code = 0, .signal = 0});
    }
}

TEST_CASE("shutdown: what had come before the signal and was not looked at yet is answered, too") {
    Daemon daemon;
    std::uint64_t sum = 0;
    for (std::size_t round = 0; round < scaled(10); ++round) {
        CAPTURE(round);
        std::vector<Client> clients;
        for (int i = 0; i < 5; ++i) {
            clients.push_back(daemon.connect());
            clients.back().call("system.ping");
        }
        // It sleeps while they send, and hears of the signal when it wakes up.
        daemon.send_signal(SIGSTOP);
        constexpr std::uint64_t count = 200;
        for (Client& client : clients) client.send(increments(count));
        daemon.send_signal(round % 2 == 0 ? SIGTERM : SIGINT);
        daemon.send_signal(SIGCONT);
        for (Client& client : clients) {
            for (std::uint64_t i = 1; i <= count; ++i) {
                REQUIRE(as_number(member(client.receive(), "response")) == i);
                sum += i;
            }
            CHECK(client.closed_by_server());
        }
        CHECK(daemon.wait() == ExitStatus{.code = 0, .signal = 0});
        daemon.start();
        CHECK(as_number(daemon.connect().call("counter.sum", {{"series", "a"}, {"key", 1}})) == sum);
    }
}

TEST_CASE("shutdown: a signal under load loses nothing that was acknowledged, and exits 0") {
    CrashedWriters run(random_engine("stopped writers")());
    for (std::size_t round = 0; round < number_from_environment("KARMA_TEST_ROUNDS", scaled(10)); ++round) {
        CAPTURE(round);
        run.write_and_stop(round % 2 == 0 ? SIGTERM : SIGINT);
        run.restart();
        run.check();
    }
    CHECK(run.sent() > 0);
}

TEST_CASE("shutdown: without clients, and with silent ones, the daemon ends at once") {
    Daemon daemon(patient_arguments("600"));
    CHECK(daemon.stop(SIGTERM).code == 0);
    daemon.start();
    Client silent = daemon.connect();
    silent.call("system.ping");
    CHECK(daemon.stop(SIGINT).code == 0);
    CHECK(silent.closed_by_server());
}

TEST_CASE("shutdown: a client that takes nothing holds it up for --shutdown-timeout seconds at most") {
    Daemon daemon(patient_arguments("1"));
    const Client deaf = deaf_client(daemon);
    CHECK(daemon.stop(SIGTERM).code == 0);
}

TEST_CASE(
    "shutdown: a client that keeps sending does not hold it up, and gets a reply to each request taken") {
    Daemon daemon(patient_arguments("600"));
    Client client = daemon.connect();
    const std::string line =
        request("counter.increment", {{"series", "a"}, {"key", 1}, {"bucket", 20260505}}) + "\n";
    std::string lines;
    for (int i = 0; i < 100; ++i) lines += line;
    std::atomic<bool> is_over = false;
    const std::jthread sender([&] {
        try {
            while (!is_over) client.send(lines);
        } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): the daemon has closed
        }
    });
    std::uint64_t replies = 0;
    std::atomic<bool> has_begun = false;
    std::jthread receiver([&] {
        try {
            for (;;) {
                client.receive();
                ++replies;
                has_begun = true;
            }
        } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): the same
        }
    });
    while (!has_begun) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    CHECK(daemon.stop(SIGTERM) == ExitStatus{.code = 0, .signal = 0});
    is_over = true;
    receiver.join();
    daemon.start();
    // What was executed was answered.
    CHECK(as_number(daemon.connect().call("counter.sum", {{"series", "a"}, {"key", 1}})) == replies);
}

TEST_CASE("shutdown: a load that waits for followers does not hold it up") {
    std::vector<std::string> arguments = patient_arguments("1");
    arguments.insert(arguments.end(), {"--replication-min-acks=1", "--replication-ack-timeout-ms=86400000"});
    Daemon daemon(arguments);
    Client loading = daemon.connect();
    loading.send(request("counter.increment", {{"series", "a"}, {"key", 1}}) + "\n");
    Client client = daemon.connect();
    while (client.call("tree.list").as_array().empty()) {}
    client.call("snapshot.create", {{"series", "a"}});
    const std::string file(client.call("snapshot.list").as_array().front().as_string());
    Client another = daemon.connect();
    another.send(request("snapshot.load", {{"file", file}}) + "\n");
    // It waits once its events are stored.
    while (as_number(client.call("snapshot.info").at("wal_current_lsn")) < 4) {}
    CHECK(daemon.stop(SIGTERM) == ExitStatus{.code = 0, .signal = 0});
}

TEST_CASE("shutdown: half a request is no request") {
    Daemon daemon;
    Client client = daemon.connect();
    client.send(increments(1) + R"({"v":2,"op":"counter.increm)");
    CHECK(as_number(member(client.receive(), "response")) == 1);
    daemon.send_signal(SIGTERM);
    CHECK(client.closed_by_server());
    CHECK(daemon.wait() == ExitStatus{.code = 0, .signal = 0});
}

TEST_CASE("shutdown: a last request without its newline is one when its sender has ended") {
    Daemon daemon;
    Client client = daemon.connect();
    client.call("system.ping");
    daemon.send_signal(SIGSTOP);
    client.send(request("system.ping"));
    client.finish_sending();
    daemon.send_signal(SIGTERM);
    daemon.send_signal(SIGCONT);
    CHECK(member(client.receive(), "response") == json::value("pong"));
    CHECK(client.closed_by_server());
    CHECK(daemon.wait().code == 0);
}

TEST_CASE("shutdown: a second signal ends it at once") {
    Daemon daemon(patient_arguments("600"));
    const Client deaf = deaf_client(daemon);
    daemon.send_signal(SIGTERM);
    // The listener is closed when the first signal has been seen.
    const auto deadline = std::chrono::steady_clock::now() + patience();
    bool refused = false;
    while (!refused && std::chrono::steady_clock::now() < deadline) {
        try {
            daemon.connect();
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        } catch (const std::system_error&) {
            refused = true;
        }
    }
    CHECK_MESSAGE(refused, "the daemon still accepts connections");
    CHECK_MESSAGE(daemon.running(), "the daemon did not wait for a client that has replies coming");
    daemon.send_signal(SIGTERM);
    CHECK_NOTHROW(daemon.wait());
    daemon.start();
    CHECK(as_number(member(daemon.connect().call("tree.info", {{"series", "wide"}}), "key_count")) == 2000);
}

}  // namespace karma::test
