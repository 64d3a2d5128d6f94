// `karma call` as a user sees it: output, errors, exit status.
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "cli/call.h"
#include "tests/cli/environment.h"
#include "tests/support/fake_server.h"
#include "tests/support/port.h"

namespace karma::test {

namespace {

struct Outcome {
    int status = -1;
    std::string out;
    std::string err;
};

Outcome call(const std::vector<std::string>& arguments, const std::string& input = "") {
    std::istringstream in(input);
    std::ostringstream out;
    std::ostringstream err;
    Outcome outcome;
    outcome.status = cli::run_call(arguments, in, out, err);
    outcome.out = out.str();
    outcome.err = err.str();
    return outcome;
}

// Calls a server that answers with these bytes.
Outcome call_answered(const std::string& bytes, const std::vector<std::string>& arguments = {}) {
    const FakeServer server([&](std::size_t, const std::string&) { return FakeAnswer{bytes, true}; });
    std::vector<std::string> all{"system.ping", server.port_option()};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return call(all);
}

// The request that arrives for these arguments.
std::string request_for(std::vector<std::string> arguments, const std::string& input = "") {
    const FakeServer server([](std::size_t, const std::string&) { return FakeAnswer{success_reply("1")}; });
    arguments.insert(arguments.begin(), server.port_option());
    const Outcome outcome = call(arguments, input);
    INFO(outcome.err);
    CHECK(outcome.status == 0);
    REQUIRE(server.requests().size() == 1);
    return server.requests().front();
}

}  // namespace

TEST_CASE("call: the response is printed for a person") {
    CHECK(call_answered(success_reply("\"pong\"")).out == "pong\n");
    CHECK(call_answered(success_reply("\"\"")).out == "\n");
    CHECK(call_answered(success_reply(R"("line 1\nline 2 \"x\"\n")")).out == "line 1\nline 2 \"x\"\n");
    CHECK(call_answered(success_reply("18446744073709551615")).out == "18446744073709551615\n");
    CHECK(call_answered(success_reply("{\"uptime_seconds\": 0.018367976 }")).out ==
          "{\"uptime_seconds\":0.018367976}\n");
    CHECK(call_answered(success_reply("{\"a\":[1,2]}"), {"--pretty"}).out ==
          "{\n  \"a\": [\n    1,\n    2\n  ]\n}\n");
    CHECK(call_answered(success_reply("\"plain\""), {"--pretty"}).out == "plain\n");
    CHECK(call_answered(success_reply("null")).out == "null\n");
}

TEST_CASE("call: --raw prints the whole reply") {
    const std::string good = R"({"protocol_version":2,"success":true, "response":1.0,"error_code":null})";
    const Outcome success = call_answered(good + "\r\n", {"--raw"});
    CHECK(success.status == 0);
    CHECK(success.out == good + "\n");
    const Outcome failure = call_answered(error_reply("not_found", "no"), {"--raw"});
    CHECK(failure.status == 1);
    CHECK(failure.out ==
          "{\"protocol_version\":2,\"success\":false,\"response\":\"no\",\"error_code\":\"not_found\"}\n");
    CHECK(failure.err.empty());
}

TEST_CASE("call: an error reply goes to standard error") {
    const Outcome outcome = call_answered(error_reply("not_found", "Tree \"links\" not found"));
    CHECK(outcome.status == 1);
    CHECK(outcome.out.empty());
    CHECK(outcome.err == "not_found: Tree \"links\" not found\n");
}

TEST_CASE("call: requests from fields, from JSON and from standard input") {
    CHECK(request_for({"counter.sum", "series=7", "key=42", "range.from=20260101", "range.to=20260131"}) ==
          R"({"v":2,"op":"counter.sum","series":"7","key":42,"range":{"from":20260101,"to":20260131}})");
    CHECK(request_for({R"({"v":2, "op":"system.ping"})"}) == R"({"v":2, "op":"system.ping"})");
    CHECK(request_for({"-"}, "{\"v\":2,\n\"op\":\"system.ping\"}\n") == R"({"v":2, "op":"system.ping"})");
    CHECK(request_for({"--", "x", "a=-1"}) == R"({"v":2,"op":"x","a":-1})");
}

TEST_CASE("call: the token of the command line wins over the environment's") {
    const EnvironmentVariable variable("KARMA_TOKEN");
    variable.set("from-env");
    CHECK(request_for({"x"}) == R"({"v":2,"op":"x","token":"from-env"})");
    CHECK(request_for({"x", "--token=from-line"}) == R"({"v":2,"op":"x","token":"from-line"})");
    CHECK(request_for({"x", "--token="}) == R"({"v":2,"op":"x"})");
    variable.set("");
    CHECK(request_for({"x"}) == R"({"v":2,"op":"x"})");
    CHECK(request_for({"{\"a\":1}", "--token", "t"}) == R"({"token":"t","a":1})");
    variable.unset();
    CHECK(request_for({"x"}) == R"({"v":2,"op":"x"})");
}

TEST_CASE("call: no connection, no reply, or something that is none") {
    const ReservedPort port;
    const Outcome refused = call({"system.ping", "--port", std::to_string(port.number())});
    CHECK(refused.status == 3);
    CHECK(refused.out.empty());
    CHECK(refused.err == "karma call: cannot connect to 127.0.0.1:" + std::to_string(port.number()) +
                             ": Connection refused\n");

    const Outcome unknown = call({"system.ping", "--host", "host.invalid", "--port", "1"});
    CHECK(unknown.status == 3);
    CHECK(unknown.err.starts_with("karma call: cannot connect to host.invalid:1: "));

    const Outcome closed = call_answered("");
    CHECK(closed.status == 3);
    CHECK(closed.err.find(": the daemon closed it\n") != std::string::npos);
    const Outcome cut = call_answered("{\"protocol_version\":2");
    CHECK(cut.status == 3);

    for (const std::string reply : {"HTTP/1.1 400 Bad Request\r\n", "[]\r\n", "{}\r\n", "\r\n",
                                    "{\"success\":true}\r\n", "{\"success\":1,\"response\":1}\r\n"}) {
        CAPTURE(reply);
        const Outcome outcome = call_answered(reply);
        CHECK(outcome.status == 3);
        CHECK(outcome.out.empty());
        CHECK(outcome.err.find("answers something that is no reply of Karma") != std::string::npos);
    }
}

TEST_CASE("call: a daemon that stays silent") {
    const FakeServer server([](std::size_t, const std::string&) { return FakeAnswer{}; });
    const Outcome outcome = call({"system.ping", "--timeout", "1", server.port_option()});
    CHECK(outcome.status == 3);
    CHECK(outcome.err == "karma call: connection to 127.0.0.1:" + std::to_string(server.port()) +
                             ": no reply, waited 1 second\n");
}

TEST_CASE("call: wrong usage names the option") {
    const auto check = [](const std::vector<std::string>& arguments, const std::string& what) {
        const Outcome outcome = call(arguments);
        CAPTURE(what);
        CHECK(outcome.status == 2);
        CHECK(outcome.out.empty());
        CHECK(outcome.err == "karma call: " + what + "\nTry 'karma call --help'.\n");
    };
    check({}, "what to call is missing: an op, JSON, or -");
    check({""}, "the op is empty");
    check({"series=a"}, "\"series=a\": the op comes first, then name=value");
    check({"x", "key"}, "\"key\": expected name=value");
    check({"{}", "key=1"}, "\"key=1\": nothing may follow a request given as JSON");
    check({"-", "key=1"}, "\"key=1\": nothing may follow a request given as JSON");
    check({"x", "--port", "0"}, "--port: \"0\" is not a whole number from 1 to 65535");
    check({"x", "--port=65536"}, "--port: \"65536\" is not a whole number from 1 to 65535");
    check({"x", "--port=-1"}, "--port: \"-1\" is not a whole number from 1 to 65535");
    check({"x", "--port=8080x"}, "--port: \"8080x\" is not a whole number from 1 to 65535");
    check({"x", "--timeout=0"}, "--timeout: \"0\" is not a whole number from 1 to 86400");
    check({"x", "--host="}, "--host is empty");
    check({"x", "--raw", "--pretty"}, "--raw and --pretty exclude each other");
    check({"--ops=page"}, "--ops=page: expected --ops or --ops=markdown");
    check({"counter.nope", "--help"}, "\"counter.nope\" is no op: 'karma call --ops' lists all");
    check({"x", "--nonsense"}, "unrecognised option '--nonsense'");
    check({"x", "--prett"}, "unrecognised option '--prett'");
    check({"x", "--port"}, "the required argument for option '--port' is missing");
}

TEST_CASE("call: --help explains itself on standard output") {
    const Outcome outcome = call({"--help"});
    CHECK(outcome.status == 0);
    CHECK(outcome.err.empty());
    for (const char* part :
         {"Usage: karma call", "--host", "--port", "--token", "--timeout", "--pretty", "--raw"}) {
        CHECK(outcome.out.find(part) != std::string::npos);
    }
}

TEST_CASE("call: --ops lists every op with what it does, and --help explains one") {
    const Outcome list = call({"--ops"});
    CHECK(list.status == 0);
    CHECK(list.out.find("counter.sum series|tree key [range|last] [as_of]\n    The sum of ") !=
          std::string::npos);
    CHECK(list.out.find(
              "\nseries.sum series|tree key [range|last] [as_of]\n    Means the same as counter.sum.\n") !=
          std::string::npos);
    const Outcome one = call({"series.sum", "--help"});
    CHECK(one.status == 0);
    CHECK(one.out.starts_with("counter.sum series|tree key "));
    for (const char* const part :
         {"Also called: series.sum\n", "Access: read\n", "  series, tree (string)\n",
          "  range, last (range, optional, default all buckets)\n", "Response: the sum; ",
          "  not_found: the series ", R"({"v":2,"op":"counter.sum",)", R"("success":true,"response":5,)"}) {
        CAPTURE(part);
        CHECK(one.out.find(part) != std::string::npos);
    }
    CHECK(call({"--ops=markdown"}).out.starts_with("# Protocol\n"));
}

}  // namespace karma::test
