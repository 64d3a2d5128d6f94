// event.list with wait_ms: who has seen all events is told of the next one.
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "tests/program/counter.h"
#include "tests/support/daemon.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

std::string wait_for_event(std::uint64_t after_lsn, std::uint64_t wait_ms) {
    return request("event.list", {{"after_lsn", after_lsn}, {"wait_ms", wait_ms}});
}

std::vector<std::uint64_t> lsns(const json::value& reply) {
    std::vector<std::uint64_t> all;
    for (const json::value& event : member(member(reply, "response"), "events").as_array()) {
        all.push_back(as_number(member(event, "lsn")));
    }
    return all;
}

constexpr std::uint64_t minute_ms = 60'000;  // which nobody here waits for

}  // namespace

TEST_CASE("event wait: each of many consumers gets the next event, and what is behind it goes on") {
    const Daemon daemon(std::vector<std::string>{"--threads=2"});
    Client producer = daemon.connect();
    producer.call("counter.increment", counter("links", 1, 5));
    std::vector<Client> consumers;
    for (int i = 0; i < 20; ++i) {
        consumers.push_back(daemon.connect());
        consumers.back().send(wait_for_event(1, minute_ms) + "\n" + request("system.ping") + "\n");
    }
    for (std::uint64_t lsn = 2; lsn <= 4; ++lsn) {
        producer.call("counter.increment", counter("links", 1, 5));
        for (Client& consumer : consumers) {
            const std::vector<std::uint64_t> seen = lsns(consumer.receive());
            CHECK(seen == std::vector<std::uint64_t>{lsn});
            CHECK(member(consumer.receive(), "response") == json::value("pong"));
            consumer.send(wait_for_event(lsn, minute_ms) + "\n" + request("system.ping") + "\n");
        }
    }
}

TEST_CASE("event wait: an event that is there is not waited for") {
    const Daemon daemon;
    Client client = daemon.connect();
    client.call("counter.increment", counter("links", 1, 5));
    CHECK(lsns(client.ask_line(wait_for_event(0, minute_ms))) == std::vector<std::uint64_t>{1});
    CHECK(lsns(client.ask("event.list", {{"wait_ms", minute_ms}})) == std::vector<std::uint64_t>{1});
    // Behind the request of the same client, and before its reply.
    client.send(request("counter.increment", counter("links", 1, 5)) + "\n" + wait_for_event(1, minute_ms) +
                "\n");
    CHECK(as_number(member(client.receive(), "response")) == 5);
    CHECK(lsns(client.receive()) == std::vector<std::uint64_t>{2});
}

TEST_CASE("event wait: it ends without an event when its time is up") {
    const Daemon daemon(std::vector<std::string>{"--query-timeout-ms=1000"});
    Client client = daemon.connect();
    CHECK(lsns(client.ask_line(wait_for_event(0, 1))).empty());
    client.call("counter.increment", counter("links", 1, 5));
    CHECK(lsns(client.ask_line(wait_for_event(1, 50))).empty());
    // The time of the query begins when the wait is over.
    const json::value late = client.ask_line(wait_for_event(1, 1'500));
    CHECK(member(late, "success") == json::value(true));
    CHECK(lsns(late).empty());
    CHECK(lsns(client.ask("event.list", {{"after_lsn", 1}})).empty());
}

TEST_CASE("event wait: a stop, a closed connection and a daemon without a log end it") {
    Daemon daemon;
    {
        Client gone = daemon.connect();
        gone.send_line(wait_for_event(0, minute_ms));
    }
    Client waiting = daemon.connect();
    waiting.send_line(wait_for_event(0, minute_ms));
    Client other = daemon.connect();
    other.call("system.ping");
    CHECK(daemon.stop() == ExitStatus{0, 0});
    CHECK(lsns(waiting.receive()).empty());

    daemon.set_arguments({"--wal=false"});
    daemon.start();
    Client client = daemon.connect();
    client.ask_line(wait_for_event(0, minute_ms));  // whatever it says, it says it at once
    CHECK(client.error_of("event.list", {{"after_lsn", 0}}) ==
          client.error_of("event.list", {{"after_lsn", 0}, {"wait_ms", minute_ms}}));
}

TEST_CASE("event wait: a promotion ends the waits of the follower's clients") {
    Daemon daemon;
    daemon.connect().call("counter.increment", counter("links", 1, 5));
    daemon.stop();
    daemon.set_arguments(
        {"--role=slave", "--replication-source-host=127.0.0.1", "--replication-source-port=1"});
    daemon.start();
    Client waiting = daemon.connect();
    waiting.send_line(wait_for_event(1, minute_ms));
    Client other = daemon.connect();
    other.ask("replication.promote", {{"force", true}});
    other.call("counter.increment", counter("links", 1, 5));
    CHECK(member(waiting.receive(), "success") == json::value(true));
}

}  // namespace karma::test
