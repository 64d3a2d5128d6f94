// Requests that are sent before the replies to those before them are read: each sees what those before it
// did, and each is answered on a server that does nothing else.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/support/daemon.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

std::string increment(const std::string& series, std::uint64_t value) {
    return request("counter.increment",
                   {{"series", series}, {"key", 1}, {"bucket", 20260505}, {"value", value}}) +
           "\n";
}

std::string sum(const std::string& series) {
    return request("counter.sum", {{"series", series}, {"key", 1}}) + "\n";
}

// So many keys that a read of all of them is done by another thread.
void fill_large_series(Client& client) {
    constexpr int keys = 150'000;
    for (int from = 0; from < keys; from += 1'000) {
        json::array items;
        for (int key = from; key < from + 1'000; ++key) items.push_back(json::array{key, 20260505, 1 + key});
        client.call("series.batch_add", {{"series", "large"}, {"items", items}});
    }
}

std::uint64_t response_number(const json::value& reply) { return as_number(member(reply, "response")); }

}  // namespace

TEST_CASE("pipelining: a write behind a read of a whole series is committed and answered") {
    const Daemon daemon(std::vector<std::string>{"--threads=1", "--max-request-bytes=1048576"});
    Client client = daemon.connect();
    fill_large_series(client);
    const std::string top = request("tree.top", {{"series", "large"}, {"limit", 10}}) + "\n";
    for (std::uint64_t i = 1; i <= 5; ++i) {
        CAPTURE(i);
        std::string lines = top;
        lines += increment("a", 1);
        lines += top;
        lines += sum("a");
        client.send(lines);
        CHECK(member(client.receive(), "success") == json::value(true));
        CHECK(response_number(client.receive()) == 1);
        CHECK(member(client.receive(), "success") == json::value(true));
        CHECK(response_number(client.receive()) == i);
    }
}

TEST_CASE("pipelining: what changes the state is done before anything behind it is executed") {
    const Daemon daemon;
    Client client = daemon.connect();
    client.send(increment("a", 5));
    CHECK(response_number(client.receive()) == 5);
    client.call("snapshot.create", {{"series", "a"}});
    const json::value files = client.call("snapshot.list");
    const std::string file(files.as_array().at(0).as_string());
    const std::string load = request("snapshot.load", {{"file", file}}) + "\n";
    for (int round = 0; round < 20; ++round) {
        CAPTURE(round);
        std::string lines;
        for (const std::string& line :
             {increment("a", 1'000), load, increment("a", 100), sum("a"), load, sum("a")}) {
            lines += line;
        }
        client.send(lines);
        CHECK(response_number(client.receive()) == 1'000);
        CHECK(member(client.receive(), "success") == json::value(true));
        CHECK(response_number(client.receive()) == 100);
        CHECK(response_number(client.receive()) == 105);
        CHECK(member(client.receive(), "success") == json::value(true));
        CHECK(response_number(client.receive()) == 5);
    }
}

TEST_CASE("pipelining: a snapshot holds what was asked for before it, and nothing of what came behind") {
    const Daemon daemon;
    Client client = daemon.connect();
    client.send(increment("a", 1));
    CHECK(response_number(client.receive()) == 1);
    constexpr int rounds = 20;
    std::vector<std::uint64_t> expected;
    std::uint64_t total = 1;
    for (int round = 0; round < rounds; ++round) {
        CAPTURE(round);
        client.send(increment("a", 1) + request("snapshot.create", {{"series", "a"}}) + "\n" +
                    increment("a", 100) + request("snapshot.info") + "\n");
        const std::uint64_t before = total + 1;
        total += 101;
        CHECK(response_number(client.receive()) == 1);
        CHECK(member(client.receive(), "success") == json::value(true));
        CHECK(response_number(client.receive()) == 100);
        const json::value info = client.receive();
        CHECK(as_number(member(member(info, "response"), "last_snapshot_lsn")) + 1 ==
              as_number(member(member(info, "response"), "wal_current_lsn")));
        // Loaded again, it is the state of just before.
        const json::value files = client.call("snapshot.list");
        client.call("snapshot.load", {{"file", files.as_array().at(0)}});
        client.send(sum("a"));
        CHECK(response_number(client.receive()) == before);
        total = before;
    }
}

}  // namespace karma::test
