// Many clients, slow clients, silent clients: none harms another, and the daemon's memory stays bounded.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "tests/support/daemon.h"
#include "tests/support/open_files.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

using Clock = std::chrono::steady_clock;

// A series whose tree.keys reply is about 60 KB long, and the request for it, padded to about 4,000 bytes so
// that not many of them fit into the buffers of the system.
constexpr int wide_keys = 2000;

void fill_series(Client& client, const std::string& series, int keys) {
    for (int from = 0; from < keys; from += 100) {
        json::array items;
        for (int key = from; key < from + 100; ++key) items.push_back(json::array{key, 20260505, 1000000000});
        client.call("series.batch_add", {{"series", series}, {"items", items}});
    }
}

void fill_wide_series(Client& client) { fill_series(client, "wide", wide_keys); }

std::string wide_request() {
    return request("tree.keys", {{"series", "wide"}, {"limit", 10000}, {"pad", std::string(3900, 'p')}}) +
           "\n";
}

// Sends copies of `line` until the server has taken nothing for a while or `most` are sent. Returns the bytes
// taken.
std::size_t send_until_stuck(Client& client, const std::string& line, std::size_t most) {
    const std::size_t all = line.size() * most;
    std::size_t sent = 0;
    while (sent < all && client.wait_writable(std::chrono::milliseconds(1000))) {
        sent += client.send_some(std::string_view(line).substr(sent % line.size()));
    }
    return sent;
}

void check_served(const Daemon& daemon) {
    Client client = daemon.connect();
    CHECK(client.call("system.ping") == json::value("pong"));
    CHECK(client.call("counter.increment", {{"series", "served"}, {"key", 1}}) == json::value(1));
}

}  // namespace

TEST_CASE("connections: thousands are held, and each is answered") {
    std::size_t count = is_set("KARMA_TEST_LARGE") ? 10000 : 2000;
    const std::size_t limit = raise_open_files();
    if (limit < count + 200) {
        MESSAGE("only " << limit << " open files are allowed here");
        REQUIRE(limit > 400);
        count = limit - 200;
    }
    // The daemon is started as from a login shell: what it may open is for itself to raise.
    const Daemon daemon(
        {.arguments = {"--read-timeout=600"}, .environment = {}, .directory = {}, .open_files = 1024});
    std::vector<Client> clients;
    clients.reserve(count);
    for (std::size_t i = 0; i < count; ++i) clients.push_back(daemon.connect());
    for (int round = 1; round <= 2; ++round) {
        for (std::size_t i = 0; i < count; ++i) {
            clients[i].send_line(
                request("counter.increment", {{"series", "a"}, {"key", i}, {"value", i + 1}}));
        }
        std::size_t right = 0;
        for (std::size_t i = 0; i < count; ++i) {
            if (as_number(member(clients[i].receive(), "response")) == i + 1) ++right;
        }
        CHECK(right == count);
    }
    CHECK(as_number(member(clients.back().call("tree.info", {{"series", "a"}}), "total")) ==
          count * (count + 1));
}

TEST_CASE("connections: a client that does not read is not read from, costs little and harms nobody") {
    const Daemon daemon(std::vector<std::string>{"--write-timeout=600", "--read-timeout=600"});
    Client other = daemon.connect();
    fill_wide_series(other);
    other.call("tree.keys", {{"series", "wide"}, {"limit", 10000}});
    const std::size_t before = daemon.resident_bytes();

    constexpr std::size_t most = 15000;  // 58 MB of requests, 700 MB of replies
    const std::string line = wide_request();
    Client deaf = daemon.connect();
    const std::size_t sent = send_until_stuck(deaf, line, most);
    CHECK_MESSAGE(sent < line.size() * most, "the daemon reads on from a client that takes no reply");
    const std::size_t allowance = (sanitized() ? 512U : 64U) * std::size_t{1048576};
    CHECK(daemon.resident_bytes() < before + allowance);
    for (int i = 0; i < 100; ++i) other.call("counter.increment", {{"series", "served"}, {"key", 1}});
    check_served(daemon);

    // Once it reads, it gets all replies to what it has sent.
    const std::size_t whole = sent / line.size();
    REQUIRE(whole > 0);
    std::size_t right = 0;
    for (std::size_t i = 0; i < whole; ++i) {
        if (deaf.receive_line().size() > wide_keys * 20) ++right;
    }
    CHECK(right == whole);
    deaf.send(std::string_view(line).substr(sent % line.size()));
    CHECK(member(deaf.receive(), "success") == json::value(true));
}

TEST_CASE("connections: replies that are more than what may wait all come, without another word") {
    const Daemon daemon(std::vector<std::string>{"--threads=1"});
    Client client = daemon.connect();
    fill_wide_series(client);
    // All requests arrive at once. Their replies are some megabytes, and the client takes them as they come:
    // at times the daemon gets rid of all that waited in one go, and has to go on by itself.
    std::string lines;
    constexpr int requests = 600;
    for (int i = 0; i < requests; ++i) {
        lines += request("tree.keys", {{"series", "wide"}, {"limit", 80 + i % 400}}) + "\n";
    }
    for (std::size_t round = 0; round < scaled(20); ++round) {
        CAPTURE(round);
        const std::jthread sender([&] { client.send(lines); });
        for (int i = 0; i < requests; ++i) {
            const std::string reply = client.receive_line();
            REQUIRE(reply.find(R"("success":true)") != std::string::npos);
            REQUIRE(reply.size() > static_cast<std::size_t>(80 + i % 400) * 20);
        }
    }
}

TEST_CASE("connections: a client that does not take its replies for --write-timeout seconds is closed") {
    const Daemon daemon(std::vector<std::string>{"--write-timeout=1", "--read-timeout=600"});
    Client other = daemon.connect();
    fill_wide_series(other);
    const std::string line = wide_request();
    Client deaf = daemon.connect();
    const auto deadline = Clock::now() + patience(std::chrono::seconds(30));
    bool closed = false;
    try {
        for (std::size_t sent = 0; Clock::now() < deadline;) {
            sent += deaf.send_some(std::string_view(line).substr(sent % line.size()));
            std::this_thread::sleep_for(std::chrono::microseconds(100));
        }
    } catch (const ConnectionClosed&) {
        closed = true;
    }
    CHECK(closed);
    check_served(daemon);
}

TEST_CASE("connections: a client that begins a request and does not end it within --read-timeout is closed") {
    const Daemon daemon(std::vector<std::string>{"--read-timeout=0.5"});
    Client slow = daemon.connect();
    SUBCASE("from the start") {}
    SUBCASE("after a request") { slow.call("system.ping"); }
    slow.send(R"({"v":2,"op":"counter.incr)");
    SUBCASE("silent") { CHECK(slow.closed_by_server()); }
    SUBCASE("byte by byte") {
        const auto deadline = Clock::now() + patience();
        CHECK_THROWS_AS(
            while (Clock::now() < deadline) {
                slow.send("x");
                std::this_thread::sleep_for(std::chrono::milliseconds(20));
            },
            ConnectionClosed);
    }
    CHECK(daemon.connect().call("tree.list") == json::value(json::array{}));
}

TEST_CASE("connections: a client between two requests is not closed unless --idle-timeout says so") {
    const Daemon daemon(std::vector<std::string>{"--read-timeout=0.05", "--write-timeout=0.05"});
    Client from_the_start = daemon.connect();
    Client idle = daemon.connect();
    idle.call("system.ping");
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    CHECK(idle.call("system.ping") == json::value("pong"));
    CHECK(from_the_start.call("system.ping") == json::value("pong"));
}

TEST_CASE("connections: a client that sends no request for --idle-timeout seconds is closed") {
    const Daemon daemon(std::vector<std::string>{"--idle-timeout=1", "--read-timeout=0"});
    Client idle = daemon.connect();
    SUBCASE("from the start") { CHECK(idle.closed_by_server()); }
    SUBCASE("after a request") {
        idle.send_line(request("system.ping"));
        try {
            CHECK(member(idle.receive(), "response") == json::value("pong"));
            CHECK(idle.closed_by_server());
        } catch (const ConnectionClosed&) {
            MESSAGE("this machine stood still for longer than the timeout");
        }
    }
    SUBCASE("but not in the middle of one, which --read-timeout=0 does not bound") {
        const std::string line = request("system.ping") + "\n";
        idle.send(line.substr(0, 10));
        std::this_thread::sleep_for(std::chrono::milliseconds(2500));
        try {
            idle.send(line.substr(10));
            CHECK(member(idle.receive(), "response") == json::value("pong"));
        } catch (const ConnectionClosed&) {
            FAIL("closed in the middle of a request");
        }
    }
}

TEST_CASE("connections: a client whose requests wait behind others of its own is not closed") {
    // The daemon works on what it has read for longer than a client may take for a request.
    const Daemon daemon(std::vector<std::string>{"--read-timeout=0.3", "--threads=1"});
    Client other = daemon.connect();
    fill_series(other, "large", 100'000);
    const std::string line = request("tree.top", {{"series", "large"}, {"limit", 1}}) + "\n";
    std::string lines;
    constexpr int requests = 600;
    for (int i = 0; i < requests; ++i) lines += line;
    Client client = daemon.connect();
    const std::jthread sender([&] { client.send(lines); });
    for (int i = 0; i < requests; ++i) {
        CAPTURE(i);
        REQUIRE(member(client.receive(), "success") == json::value(true));
    }
}

TEST_CASE("connections: a client that takes its replies slowly is not closed") {
    const Daemon daemon(std::vector<std::string>{"--write-timeout=1", "--read-timeout=1"});
    Client client = daemon.connect();
    fill_wide_series(client);
    // More than the buffers of the system hold, taken at half a megabyte a second: for seconds on end the
    // daemon can write nothing.
    const std::string line = request("tree.keys", {{"series", "wide"}, {"limit", 10000}}) + "\n";
    constexpr int requests = 200;
    std::string lines;
    for (int i = 0; i < requests; ++i) lines += line;
    const std::jthread sender([&] { client.send(lines); });
    auto longest = Clock::duration::zero();
    auto last = Clock::now();
    try {
        for (int i = 0; i < requests; ++i) {
            const std::string reply = client.receive_line();
            CHECK(reply.size() > wide_keys * 20);
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
            longest = std::max(longest, Clock::now() - last);
            last = Clock::now();
        }
    } catch (const ConnectionClosed&) {
        // On a machine that stood still for that long the daemon was right.
        CHECK(longest >= std::chrono::milliseconds(900));
    }
}

TEST_CASE("connections: karma history into a pager that pauses shows everything") {
    const Daemon daemon(std::vector<std::string>{"--read-timeout=0.1", "--write-timeout=600"});
    Client client = daemon.connect();
    constexpr int events = 3'000;
    std::string lines;
    for (int i = 0; i < events; ++i) {
        lines += request("counter.increment", {{"series", "a"}, {"key", i}, {"bucket", 20260505}}) + "\n";
    }
    const std::jthread sender([&] { client.send(lines); });
    for (int i = 0; i < events; ++i) client.receive();
    const std::string pager = karma_binary().string() + " history --port=" + std::to_string(daemon.port()) +
                              " --limit=" + std::to_string(events) + " | { head -n 1; sleep 1; tail -n 1; }";
    const ProgramResult result = run_program("/bin/sh", {"-c", pager});
    CHECK(result.standard_error == "");
    CHECK(std::ranges::count(result.standard_output, '\n') == 2);
    CHECK(result.standard_output.find(std::to_string(events)) != std::string::npos);
}

TEST_CASE("connections: what a client sent before it vanished is executed, and the daemon goes on") {
    Daemon daemon;
    for (int i = 0; i < 50; ++i) {
        Client client = daemon.connect();
        client.send_line(request("counter.increment", {{"series", "a"}, {"key", 1}}));
        client.send(R"({"v":2,"op":"counter.increment","series":"a")");  // and half of another
    }
    Client client = daemon.connect();
    const auto deadline = Clock::now() + patience();
    const auto sum = [&] {
        const json::value reply = client.ask("counter.sum", {{"series", "a"}, {"key", 1}});
        const json::value& response = member(reply, "response");
        return response.is_string() ? 0 : as_number(response);
    };
    while (sum() < 50 && Clock::now() < deadline) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    CHECK(sum() == 50);
    CHECK(daemon.running());
}

}  // namespace karma::test
