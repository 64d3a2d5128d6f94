// The connection of the client subcommands.
#include <chrono>
#include <string>

#include <doctest/doctest.h>

#include "net/client_connection.h"
#include "tests/support/fake_server.h"
#include "tests/support/port.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

using net::ClientConnection;
using net::ConnectionError;

FakeAnswer echo(std::size_t /*index*/, const std::string& line) { return {line + "\r\n"}; }

}  // namespace

TEST_CASE("client connection: lines come back in order, with and without carriage returns") {
    const FakeServer server([](std::size_t index, const std::string& line) {
        return FakeAnswer{line + (index % 2 == 0 ? "\n" : "\r\n")};
    });
    ClientConnection connection("127.0.0.1", server.port(), patience());
    CHECK(!connection.buffered_line());
    for (int line = 0; line < 1'000; ++line) connection.queue_line("line " + std::to_string(line));
    CHECK(connection.queued_bytes() > 0);
    for (int line = 0; line < 1'000; ++line) CHECK(connection.read_line() == "line " + std::to_string(line));
    CHECK(connection.queued_bytes() == 0);
    CHECK(!connection.failed());
}

TEST_CASE("client connection: a name is resolved") {
    const FakeServer server(echo);
    ClientConnection connection("localhost", server.port(), patience());
    connection.queue_line("");
    CHECK(connection.read_line().empty());
}

TEST_CASE("client connection: more than the sockets hold in both directions does not block") {
    const FakeServer server(echo);
    ClientConnection connection("127.0.0.1", server.port(), patience());
    const std::string line(50'000, 'x');
    constexpr int count = 1'000;
    for (int at = 0; at < count; ++at) connection.queue_line(std::to_string(at) + line);
    connection.flush();
    for (int at = 0; at < count; ++at) REQUIRE(connection.read_line() == std::to_string(at) + line);
}

TEST_CASE("client connection: what came before the end is handed out before the error") {
    const FakeServer server([](std::size_t index, const std::string& line) {
        return FakeAnswer{index < 3 ? line + "\r\n" : "half a li", index == 3};
    });
    ClientConnection connection("127.0.0.1", server.port(), patience());
    // The server never reads most of this, so that the connection is reset.
    for (int line = 0; line < 200'000; ++line) connection.queue_line("line " + std::to_string(line));
    connection.flush();
    for (int line = 0; line < 3; ++line) CHECK(connection.read_line() == "line " + std::to_string(line));
    CHECK_THROWS_AS(connection.read_line(), ConnectionError);
    CHECK(connection.failed());
    CHECK_THROWS_AS(connection.read_line(), ConnectionError);
    CHECK(!connection.buffered_line());
}

TEST_CASE("client connection: a line without an end is not gathered for ever") {
    const FakeServer server(
        [](std::size_t, const std::string&) { return FakeAnswer{std::string(1'000'000, 'x')}; });
    ClientConnection connection("127.0.0.1", server.port(), std::chrono::seconds(2));
    connection.limit_lines(100'000);
    connection.queue_line("x");
    CHECK_THROWS_WITH_AS(
        connection.read_line(),
        ("connection to 127.0.0.1:" + std::to_string(server.port()) + ": a line of more than 100000 bytes")
            .c_str(),
        ConnectionError);
}

TEST_CASE("client connection: failures are explained") {
    const ReservedPort port;
    const std::string address = "127.0.0.1:" + std::to_string(port.number());
    CHECK_THROWS_WITH_AS(ClientConnection("127.0.0.1", port.number(), patience()),
                         ("cannot connect to " + address + ": Connection refused").c_str(), ConnectionError);

    const FakeServer silent([](std::size_t, const std::string&) { return FakeAnswer{}; });
    ClientConnection connection("127.0.0.1", silent.port(), std::chrono::milliseconds(50));
    connection.queue_line("x");
    CHECK_THROWS_WITH_AS(
        connection.read_line(),
        ("connection to 127.0.0.1:" + std::to_string(silent.port()) + ": no reply, waited 50 ms").c_str(),
        ConnectionError);
}

}  // namespace karma::test
