// Where requests begin and end: pipelining, requests in pieces, sizes, the full range of numbers.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>

#include "tests/support/daemon.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

const json::value pong =
    parse_json(R"({"protocol_version":2,"success":true,"response":"pong","error_code":null})");

std::string code_of(const json::value& reply) {
    const json::value& code = member(reply, "error_code");
    return code.is_string() ? std::string(code.get_string()) : std::string();
}

// A system.ping of exactly `size` bytes.
std::string ping_of_size(std::size_t size) {
    const std::string empty = request("system.ping", {{"pad", ""}});
    REQUIRE(size >= empty.size());
    return request("system.ping", {{"pad", std::string(size - empty.size(), 'p')}});
}

}  // namespace

TEST_CASE("framing: a thousand requests in one write are answered in order") {
    const Daemon daemon;
    Client client = daemon.connect();
    std::string bytes;
    constexpr std::uint64_t count = 1000;
    for (std::uint64_t i = 1; i <= count; ++i) {
        bytes +=
            request("counter.increment", {{"series", "a"}, {"key", i}, {"bucket", 20260505}, {"value", i}});
        bytes += '\n';
        bytes += request("counter.sum", {{"series", "a"}, {"key", i}}) + "\n";
        if (i % 10 == 0) bytes += "no request\n";
    }
    client.send(bytes);
    for (std::uint64_t i = 1; i <= count; ++i) {
        CAPTURE(i);
        REQUIRE(as_number(member(client.receive(), "response")) == i);
        REQUIRE(as_number(member(client.receive(), "response")) == i);  // a read sees the write before it
        if (i % 10 == 0) REQUIRE(code_of(client.receive()) == "invalid_json");
    }
    const json::value info = client.call("tree.info", {{"series", "a"}});
    CHECK(as_number(member(info, "key_count")) == count);
    CHECK(as_number(member(info, "total")) == count * (count + 1) / 2);
}

TEST_CASE("framing: a request in pieces") {
    const Daemon daemon;
    Client client = daemon.connect();
    const std::string increment =
        request("counter.increment", {{"series", "pieces"}, {"key", 1}, {"bucket", 20260505}, {"value", 3}}) +
        "\n";
    std::uint64_t sum = 0;

    SUBCASE("two, cut anywhere") {
        for (std::size_t cut = 1; cut < increment.size(); ++cut) {
            client.send(std::string_view(increment).substr(0, cut));
            client.send(std::string_view(increment).substr(cut));
            REQUIRE(as_number(member(client.receive(), "response")) == 3);
            sum += 3;
        }
    }
    SUBCASE("byte by byte") {
        for (int i = 0; i < 3; ++i) {
            for (const char& byte : increment) client.send({&byte, 1});
            REQUIRE(as_number(member(client.receive(), "response")) == 3);
            sum += 3;
        }
    }
    SUBCASE("one and a half, then the rest") {
        for (std::size_t cut = 0; cut < increment.size(); cut += 7) {
            client.send(increment + increment.substr(0, cut));
            REQUIRE(as_number(member(client.receive(), "response")) == 3);
            client.send(std::string_view(increment).substr(cut));
            REQUIRE(as_number(member(client.receive(), "response")) == 3);
            sum += 6;
        }
    }
    CHECK(as_number(client.call("counter.sum", {{"series", "pieces"}, {"key", 1}})) == sum);
}

TEST_CASE("framing: writes of every size around a power of two") {
    const Daemon daemon;
    Client client = daemon.connect();
    // What arrives together fills the daemon's input buffer to the last byte, or misses that by one.
    for (std::size_t power = 4096; power <= (1U << 18U); power *= 2) {
        for (const std::size_t size : {power - 1, power, power + 1}) {
            CAPTURE(size);
            constexpr std::size_t line_size = 512;  // with its newline
            const std::size_t lines = size / line_size - 1;
            std::string bytes;
            for (std::size_t i = 0; i < lines; ++i) bytes += ping_of_size(line_size - 1) + "\n";
            bytes += ping_of_size(size - bytes.size() - 1) + "\n";
            REQUIRE(bytes.size() == size);
            client.send(bytes);
            for (std::size_t i = 0; i <= lines; ++i) REQUIRE(client.receive() == pong);
            REQUIRE(client.ask_line(ping_of_size(100)) == pong);
        }
    }
}

TEST_CASE("framing: white space, \\r\\n and empty lines") {
    const Daemon daemon;
    Client client = daemon.connect();
    const std::string ping = request("system.ping");
    CHECK(client.ask_line(ping + "\r") == pong);
    CHECK(client.ask_line("  \t" + ping + " \t\r") == pong);
    CHECK(client.ask_line(R"({ "v" : 2 , "op" : "system.ping" })") == pong);
    CHECK(code_of(client.ask_line("")) == "invalid_json");
    CHECK(code_of(client.ask_line("\r")) == "invalid_json");
    CHECK(code_of(client.ask_line(ping + ping)) == "invalid_json");
    CHECK(client.ask_line(ping) == pong);
}

TEST_CASE(
    "framing: what was sent before the client finished sending is answered, then the connection closed") {
    const Daemon daemon;
    Client client = daemon.connect();
    client.send(request("system.ping") + "\n" + request("system.ping") + "\n");
    client.finish_sending();
    CHECK(client.receive() == pong);
    CHECK(client.receive() == pong);
    CHECK(client.closed_by_server());
    CHECK(daemon.connect().ask("system.ping") == pong);
}

TEST_CASE(
    "framing: a request of the greatest size is taken, a longer one answered and the connection closed") {
    constexpr std::size_t limit = 1000;
    const Daemon daemon(std::vector<std::string>{"--max-request-bytes=1000"});
    Client client = daemon.connect();
    CHECK(client.ask_line(ping_of_size(limit)) == pong);

    SUBCASE("with its newline") { client.send_line(ping_of_size(limit + 1)); }
    SUBCASE("without a newline") { client.send(ping_of_size(limit + 1)); }
    SUBCASE("in two pieces") {
        client.send(std::string_view(ping_of_size(limit)));
        client.send("p");
    }
    SUBCASE("after a good one, and with another one behind it") {
        client.send(request("system.ping") + "\n" + ping_of_size(limit + 1) + "\n" +
                    request("counter.increment", {{"series", "a"}, {"key", 1}}) + "\n");
        CHECK(client.receive() == pong);
    }
    SUBCASE("of a megabyte") {
        try {
            client.send(std::string(1U << 20U, 'x'));
        } catch (const ConnectionClosed&) {
            MESSAGE("the daemon closed before it had everything");
        }
    }
    CHECK(code_of(client.receive()) == "request_too_large");
    CHECK(client.closed_by_server());
    CHECK(daemon.connect().call("tree.list") == json::value(json::array{}));
}

TEST_CASE("framing: the end of a line does not count as a part of the request") {
    constexpr std::size_t limit = 1000;
    const Daemon daemon(std::vector<std::string>{"--max-request-bytes=1000"});
    Client client = daemon.connect();
    CHECK(client.ask_line(ping_of_size(limit)) == pong);
    CHECK(client.ask_line(ping_of_size(limit) + "\r") == pong);
    client.send(ping_of_size(limit) + "\r");
    client.send("\n");
    CHECK(client.receive() == pong);
    CHECK(code_of(client.ask_line(ping_of_size(limit + 1) + "\r")) == "request_too_large");
    CHECK(client.closed_by_server());
}

TEST_CASE("framing: the name of an unknown op is shown in whole characters") {
    const Daemon daemon;
    Client client = daemon.connect();
    for (const std::string character : {"\u00e9", "\u20ac", "\U0001f600"}) {
        for (std::size_t before = 96; before <= 100; ++before) {
            CAPTURE(before);
            std::string op(before, 'x');
            for (int i = 0; i < 5; ++i) op += character;
            const std::string reply =
                client.ask_line(request(op)).as_object().at("response").as_string().c_str();
            CHECK(reply.starts_with("Unknown op " + std::string(before, 'x')));
            const std::size_t shown = reply.size() - std::string("Unknown op ").size();
            CHECK(shown <= 100);
            CHECK((shown - before) % character.size() == 0);
        }
    }
}

TEST_CASE("framing: the default limit of a request is 1 MiB") {
    const Daemon daemon;
    Client client = daemon.connect();
    constexpr std::size_t limit = 1'048'576;
    CHECK(client.ask_line(ping_of_size(limit)) == pong);
    CHECK(code_of(client.ask_line(ping_of_size(limit + 1))) == "request_too_large");
}

TEST_CASE("framing: a reply beyond its limit is replaced, and the connection goes on") {
    const Daemon daemon(std::vector<std::string>{"--max-response-bytes=300"});
    Client client = daemon.connect();
    for (int key = 0; key < 50; ++key) client.call("counter.increment", {{"series", "a"}, {"key", key}});
    CHECK(client.error_of("tree.keys", {{"series", "a"}}) == "response_too_large");
    CHECK(client.call("tree.keys", {{"series", "a"}, {"limit", 2}}).is_object());
}

TEST_CASE("framing: without a limit of replies a whole series is one line") {
    const Daemon daemon(std::vector<std::string>{"--max-response-bytes=0", "--max-request-bytes=4194304",
                                                 "--query-timeout-ms=60000"});
    Client client = daemon.connect();
    json::array items;
    constexpr std::uint64_t keys = 100000;
    for (std::uint64_t key = 0; key < keys; ++key) items.push_back(json::array{key, 20260505, key + 1});
    client.call("series.batch_add", {{"series", "a"}, {"items", items}});
    const std::string line = [&] {
        client.send_line(
            request("tree.series", {{"series", "a"}, {"range", {{"from", 20260505}, {"to", 20260505}}}}));
        return client.receive_line();
    }();
    CHECK(line.size() > (1U << 20U));
    const json::value response = member(parse_json(line), "response");
    CHECK(response.as_object().size() == keys);
    CHECK(member(member(response, "99999"), "20260505") == json::value(100000));
}

TEST_CASE("numbers: keys, values and totals up to 2^64-1, kept over a crash") {
    Daemon daemon;
    const auto ask = [&](std::string_view op, const json::object& fields) {
        return daemon.connect().call(op, fields);
    };
    const json::object year{{"from", 20260101}, {"to", 20261231}};
    const json::object day{{"series", "a"}, {"key", largest}, {"bucket", 20260505}};
    CHECK(as_number(ask("counter.increment",
                        {{"series", "a"}, {"key", largest}, {"bucket", 20260505}, {"value", largest}})) ==
          largest);
    CHECK(daemon.connect().error_of("counter.increment", day) == "validation_error");
    CHECK(daemon.connect().error_of("counter.increment",
                                    {{"series", "a"}, {"key", largest}, {"bucket", 20260506}}) ==
          "validation_error");
    // A batch adds up what it adds to another key: the total of the reply goes beyond 64 bits.
    const json::value added =
        ask("series.batch_add",
            {{"series", "a"},
             {"items", json::array{json::array{0, 20260505, largest - 1}, json::array{0, 20260506, 1},
                                   json::array{1, 20260507, 1}}}});
    CHECK(member(added, "total") == big_integer("18446744073709551616"));

    for (const bool restarted : {false, true}) {
        CAPTURE(restarted);
        if (restarted) daemon.restart_after_kill();
        CHECK(as_number(ask("counter.sum", {{"series", "a"}, {"key", largest}})) == largest);
        CHECK(as_number(ask("counter.sum", {{"series", "a"}, {"key", 0}})) == largest);
        CHECK(as_number(ask(
                  "counter.sum",
                  {{"series", "a"}, {"key", 0}, {"range", {{"from", 20260506}, {"to", 20260506}}}})) == 1);
        CHECK(ask("counter.series", {{"series", "a"}, {"key", largest}, {"range", year}}) ==
              json::value(json::object{{"20260505", largest}}));
        const json::value beyond = big_integer("36893488147419103231");  // 2 * (2^64-1) + 1
        CHECK(member(ask("tree.info", {{"series", "a"}}), "total") == beyond);
        CHECK(member(ask("tree.summary", {{"series", "a"}}), "total") == beyond);
        CHECK(member(ask("tree.summary", {{"series", "a"}, {"range", year}}), "total") == beyond);
        CHECK(member(ask("tree.top", {{"series", "a"}, {"limit", 2}}), "items") ==
              json::value(json::array{json::object{{"key", 0}, {"value", largest}},
                                      json::object{{"key", largest}, {"value", largest}}}));
        CHECK(member(ask("tree.keys", {{"series", "a"}, {"cursor", 1}}), "keys") ==
              json::value(json::array{json::object{{"key", largest}, {"total", largest}}}));
        CHECK(member(ask("tree.keys", {{"series", "a"}, {"cursor", largest}}), "keys") ==
              json::value(json::array{}));
        CHECK(ask("counter.batch_sum", {{"series", "a"}, {"keys", json::array{largest, 1}}}) ==
              json::value(json::array{json::object{{"key", largest}, {"value", largest}},
                                      json::object{{"key", 1}, {"value", 1}}}));
    }
    ask("counter.decrement", {{"series", "a"}, {"key", largest}, {"bucket", 20260505}, {"value", largest}});
    CHECK(as_number(ask("counter.sum", {{"series", "a"}, {"key", largest}})) == 0);
}

TEST_CASE("numbers: what is no number from 0 to 2^64-1 is refused") {
    const Daemon daemon;
    Client client = daemon.connect();
    for (const std::string number :
         {"18446744073709551616", "99999999999999999999999999", "-1", "1.5", "1e3", "\"1\""}) {
        CAPTURE(number);
        CHECK(code_of(client.ask_line(R"({"v":2,"op":"counter.increment","series":"a","key":)" + number +
                                      "}")) == "validation_error");
        CHECK(code_of(client.ask_line(R"({"v":2,"op":"counter.increment","series":"a","key":1,"value":)" +
                                      number + "}")) == "validation_error");
        CHECK(code_of(client.ask_line(R"({"v":2,"op":"series.batch_add","series":"a","items":[[1,20260505,)" +
                                      number + "]]}")) == "validation_error");
        CHECK(code_of(client.ask_line(R"({"v":2,"op":"counter.increment","series":"a","key":1,"bucket":)" +
                                      number + "}")) == "validation_error");
    }
    CHECK(client.call("tree.list") == json::value(json::array{}));
}

TEST_CASE("days: only days of the calendar, and ranges of any length") {
    const Daemon daemon;
    Client client = daemon.connect();
    for (const std::string bucket : {"20260229", "20261301", "20260100", "0", "101", "100000101",
                                     "\"2026-02-29\"", "\"2026-5-5\"", "\"2026/05/05\"", "\"\"", "true"}) {
        CAPTURE(bucket);
        CHECK(code_of(client.ask_line(R"({"v":2,"op":"counter.increment","series":"a","key":1,"bucket":)" +
                                      bucket + "}")) == "validation_error");
    }
    for (const std::string bucket : {"20240229", "10101", "99991231", "\"2026-05-05\"", "\"20260505\""}) {
        CAPTURE(bucket);
        CHECK(code_of(client.ask_line(R"({"v":2,"op":"counter.increment","series":"a","key":1,"bucket":)" +
                                      bucket + "}"))
                  .empty());
    }
    const json::object all{{"series", "a"}, {"key", 1}, {"range", {{"from", 10101}, {"to", 99991231}}}};
    CHECK(as_number(client.call("counter.sum", all)) == 5);
    CHECK(client.call("counter.series", all).as_object().size() == 4);
}

TEST_CASE("tree.keys and tree.top without a limit answer") {
    const Daemon daemon;
    Client client = daemon.connect();
    for (int key = 0; key < 120; ++key) {
        client.call("counter.increment",
                    {{"series", "a"}, {"key", key}, {"bucket", 20260505}, {"value", key + 1}});
    }
    const json::value keys = client.call("tree.keys", {{"series", "a"}});
    CHECK(member(keys, "limit") == json::value(100));
    CHECK(member(keys, "keys").as_array().size() == 100);
    CHECK(member(keys, "next_cursor") == json::value(99));
    const json::value top = client.call("tree.top", {{"series", "a"}});
    CHECK(member(top, "limit") == json::value(50));
    CHECK(member(top, "items").as_array().size() == 50);
    CHECK(member(member(top, "items").as_array().front(), "key") == json::value(119));
}

}  // namespace karma::test
