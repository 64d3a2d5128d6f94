// Protocol v1 (--protocol-v1=true) beside v2 on the same connections. The recorded conversations are in
// conversation_tests.cpp.
#include <string>
#include <vector>

#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>

#include "tests/support/daemon.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

std::vector<std::string> with_v1(std::vector<std::string> arguments = {}) {
    arguments.emplace_back("--protocol-v1=true");
    return arguments;
}

// A request of v1 with these members behind the command.
std::string command(const std::string& name, const std::string& members = "") {
    std::string line = R"({"command":")";
    line.append(name).append("\"").append(members.empty() ? "" : ",").append(members).append("}");
    return line;
}

std::string of_key(const std::string& tree, std::uint64_t key) {
    return R"("tree_name":")" + tree + R"(","key":)" + std::to_string(key);
}

// A reply in short: its protocol, and the response or the error code.
std::string in_short(const json::value& reply) {
    const bool is_success = member(reply, "success") == json::value(true);
    std::string text = "v" + std::to_string(as_number(member(reply, "protocol_version"))) + " ";
    if (!is_success) return text.append(member(reply, "error_code").as_string());
    return text + json::serialize(member(reply, "response"));
}

std::string asked(Client& client, const std::string& line) { return in_short(client.ask_line(line)); }

}  // namespace

TEST_CASE("v1: off by default") {
    const Daemon daemon;
    Client client = daemon.connect();
    CHECK(asked(client, command("ping")) == "v2 unsupported_protocol");
    CHECK(asked(client, "nonsense") == "v2 invalid_json");
}

TEST_CASE("v1: both protocols count in the same series") {
    Daemon daemon(with_v1({"--unknown-fields=refuse"}));
    {
        Client client = daemon.connect();
        CHECK(asked(client, command("increment", of_key("links", 42))) == "v1 1");
        CHECK(asked(client, request("counter.increment", {{"series", "links"}, {"key", 42}, {"value", 5}})) ==
              "v2 5");
        CHECK(asked(client, command("sum", of_key("links", 42) + R"(,"note":"passed over")")) == "v1 6");
        CHECK(asked(client, request("counter.sum", {{"series", "links"}, {"key", 42}, {"note", 1}})) ==
              "v2 validation_error");
        // As a library writes a request: with the fields that it has no value for.
        CHECK(asked(client,
                    R"({"command":"decrement","tree_name":"links","key":42,"time_from":null,"time_to":null,)"
                    R"("token":null})") == "v1 1");
    }
    daemon.restart_after_kill();
    Client client = daemon.connect();
    CHECK(asked(client, command("sum", of_key("links", 42))) == "v1 5");
    CHECK(asked(client, command("verify")).starts_with(R"(v1 {"status":"ok","dump_count":)"));
}

TEST_CASE("v1: mixed requests in one write are answered in order, each in its own form") {
    const Daemon daemon(with_v1());
    Client client = daemon.connect();
    std::string bytes;
    std::vector<std::string> wanted;
    const auto send = [&](const std::string& line, const std::string& reply) {
        bytes += line;
        bytes += '\n';
        wanted.push_back(reply);
    };
    std::mt19937_64 random = random_engine("mixed pipelines");
    std::vector<std::uint64_t> totals(10);
    for (int i = 0; i < 1'000; ++i) {
        const std::uint64_t key = random_between(random, 0, totals.size() - 1);
        const std::uint64_t value = random_between(random, 1, 100);
        switch (random_between(random, 0, 7)) {
            case 0:
                send(command("increment", of_key("a", key)), "v1 1");
                ++totals[key];
                break;
            case 1:
                send(request("counter.increment", {{"series", "a"}, {"key", key}, {"value", value}}),
                     "v2 " + std::to_string(value));
                totals[key] += value;
                break;
            case 2:
                send(command("create", R"("tree_name":"a")"), "v1 \"OK\"");
                send(command("sum", of_key("a", key)), "v1 " + std::to_string(totals[key]));
                break;
            case 3:
                send(command("create", R"("tree_name":"a")"), "v1 \"OK\"");
                send(request("counter.sum", {{"series", "a"}, {"key", key}}),
                     "v2 " + std::to_string(totals[key]));
                break;
            case 4: send(command("sum", of_key("none", key)), "v1 not_found"); break;
            case 5:
                send(request("counter.sum", {{"series", "none"}, {"key", key}}), "v2 not_found");
                send("nonsense", "v2 invalid_json");
                break;
            case 6:
                send(command("nope"), "v1 unknown_command");
                send("nonsense", "v1 invalid_json");
                break;
            default:
                if (random_between(random, 0, 20) == 0) {
                    send(command("dump_all"), "v1 \"OK\"");  // another thread makes the reply
                    send(request("snapshot.create_all"), "v2 \"OK\"");
                }
                break;
        }
    }
    client.send(bytes);
    std::vector<std::string> got;
    while (got.size() < wanted.size()) got.push_back(in_short(client.receive()));
    CHECK(got == wanted);
}

TEST_CASE("v1: tokens and roles") {
    const Daemon daemon(with_v1({"--auth-token=secret", "--read-auth-token=read"}));
    Client client = daemon.connect();
    const std::string secret = R"(,"token":"secret")";
    const std::string read = R"(,"token":"read")";
    CHECK(asked(client, command("increment", of_key("a", 1))) == "v1 unauthorized");
    CHECK(asked(client, command("increment", of_key("a", 1) + R"(,"token":"wrong")")) == "v1 unauthorized");
    CHECK(asked(client, command("increment", of_key("a", 1) + secret)) == "v1 1");
    // v1 knows no token that may only read: there is no code for what it is refused.
    CHECK(asked(client, command("increment", of_key("a", 1) + read)) == "v1 internal_error");
    CHECK(asked(client, command("sum", of_key("a", 1) + read)) == "v1 1");
    const Daemon slave(with_v1({"--role=slave"}));
    Client at_slave = slave.connect();
    CHECK(asked(at_slave, command("increment", of_key("a", 1))) == "v1 internal_error");
    CHECK(asked(at_slave, command("trees")) == "v1 []");
    CHECK(contains(json::serialize(at_slave.ask_line(command("reset", R"("tree_name":"a")"))),
                   "Slave role cannot execute"));
}

TEST_CASE("v1: a client that goes on with wrong tokens is cut off") {
    const Daemon daemon(with_v1({"--auth-token=secret"}));
    Client client = daemon.connect();
    std::string many;
    for (int i = 0; i < 200; ++i) many += command("ping", R"("token":"guess")") + "\n";
    client.send(many);
    std::string last;
    for (int i = 0; i < 100; ++i) last = client.receive_line();
    CHECK(contains(last, "The connection is closed"));
    CHECK(contains(last, R"({"protocol_version":1,)"));
    CHECK(client.closed_by_server());
}

TEST_CASE("v1: limits are those of v2, with the errors of v1") {
    const Daemon daemon(with_v1({"--max-request-bytes=200", "--max-response-bytes=300", "--max-series=3"}));
    Client client = daemon.connect();
    for (const char* const name : {"a", "b", "c"}) {
        CHECK(asked(client, command("create", std::string(R"("tree_name":")") + name + '"')) == "v1 \"OK\"");
    }
    CHECK(asked(client, command("create", R"("tree_name":"d")")) == "v1 internal_error");
    for (std::uint64_t key = 0; key < 50; ++key) client.ask_line(command("increment", of_key("a", key)));
    CHECK(asked(client, command("find", R"("tree_name":"a","time_from":0,"time_to":99999999)")) ==
          "v1 internal_error");
    CHECK(asked(client, command("ping", R"("pad":")" + std::string(300, 'x') + '"')) ==
          "v1 request_too_large");
    CHECK(client.closed_by_server());
    Client browser = daemon.connect();
    browser.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n" + command("drop", R"("tree_name":"a")") + "\n");
    CHECK(contains(browser.receive_line(), "HTTP"));
    CHECK(browser.closed_by_server());
    Client other = daemon.connect();
    CHECK(asked(other, command("sum", of_key("a", 1))) == "v1 1");
}

TEST_CASE("v1: a write that followers do not acknowledge is an error of v1") {
    const Daemon daemon(with_v1({"--replication-min-acks=1", "--replication-ack-timeout-ms=50"}));
    Client client = daemon.connect();
    client.send(command("increment", of_key("a", 1)) + "\n" +
                request("counter.increment", {{"series", "a"}, {"key", 1}}) + "\n");
    CHECK(in_short(client.receive()) == "v1 internal_error");
    CHECK(in_short(client.receive()) == "v2 replication_error");
    CHECK(asked(client, command("sum", of_key("a", 1))) == "v1 2");
}

TEST_CASE("v1: dumps are listed, loaded and verified") {
    Daemon daemon(with_v1());
    Client client = daemon.connect();
    CHECK(asked(client, command("increment", of_key("a", 1))) == "v1 1");
    CHECK(asked(client, command("dump", R"("tree_name":"a")")) == R"(v1 "Tree \"a\" saved")");
    CHECK(asked(client, command("increment", of_key("a", 1))) == "v1 1");
    const std::string file(
        member(client.ask_line(command("dumps")), "response").as_array().front().as_string());
    CHECK(file.ends_with("_a.tree"));
    CHECK(asked(client, command("load", R"("tree_name":"/srv/karma/)" + file + '"')) ==
          R"(v1 "Tree \"a\" loaded")");
    CHECK(asked(client, command("sum", of_key("a", 1))) == "v1 1");
    CHECK(asked(client, command("load", R"("tree_name":"17_none.tree")")) == "v1 not_found");
    CHECK(asked(client, command("metrics")).find("karma_command_latency_ms_average") != std::string::npos);
}

}  // namespace karma::test
