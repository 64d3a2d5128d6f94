// How the arguments of `karma call` become a request.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "cli/call_request.h"
#include "cli/command_line.h"

namespace karma::test {

namespace {

using cli::looks_like_json;
using cli::request_from_fields;
using cli::request_from_json;
using cli::UsageError;

// The fields of the request, without {"v":2,"op":"o" and the closing brace.
std::string fields(const std::vector<std::string>& arguments, const std::string& token = "") {
    const std::string request = request_from_fields("o", arguments, token);
    const std::string head = R"({"v":2,"op":"o")";
    REQUIRE(request.starts_with(head));
    REQUIRE(request.ends_with('}'));
    return request.substr(head.size(), request.size() - head.size() - 1);
}

}  // namespace

TEST_CASE("call request: an op and fields") {
    CHECK(request_from_fields("system.ping", {}, "") == R"({"v":2,"op":"system.ping"})");
    CHECK(request_from_fields("a\"b", {}, "") == R"({"v":2,"op":"a\"b"})");
    CHECK(fields({"series=links", "key=42"}) == R"(,"series":"links","key":42)");
    CHECK(fields({"range.from=20260101", "key=1", "range.to=2026-01-31"}) ==
          R"(,"range":{"from":20260101,"to":"2026-01-31"},"key":1)");
    CHECK(fields({"a.b.c=1", "a.b.d=2", "a.e=3"}) == R"(,"a":{"b":{"c":1,"d":2},"e":3})");
    CHECK(fields({"items=[{\"series\":\"a\",\"key\":1}]"}) == R"(,"items":[{"series":"a","key":1}])");
    CHECK(fields({"keys=[1,\n2]"}) == R"(,"keys":[1, 2])");
}

TEST_CASE("call request: what is JSON stays as it is, what is not becomes a string") {
    CHECK(fields({"a=18446744073709551615"}) == R"(,"a":18446744073709551615)");
    CHECK(fields({"a=18446744073709551616"}) == R"(,"a":18446744073709551616)");
    CHECK(fields({"a=1.50"}) == R"(,"a":1.50)");
    CHECK(fields({"a=-1"}) == R"(,"a":-1)");
    CHECK(fields({"a=true", "b=false", "c=null"}) == R"(,"a":true,"b":false,"c":null)");
    CHECK(fields({"a=\"7\""}) == R"(,"a":"7")");
    CHECK(fields({"a={\"b\":1}"}) == R"(,"a":{"b":1})");
    CHECK(fields({"a=007", "b=True", "c=[1", "d=a=b", "e=1 2", "f=x\ny", "g=\"q"}) ==
          R"(,"a":"007","b":"True","c":"[1","d":"a=b","e":"1 2","f":"x\ny","g":"\"q")");
    CHECK(fields({"a="}) == R"(,"a":"")");
    CHECK(fields({"bucket=2026-05-05"}) == R"(,"bucket":"2026-05-05")");
}

TEST_CASE("call request: fields that are strings stay strings") {
    for (const std::string name : {"series", "tree", "stream_id", "idempotency_key", "fingerprint", "source",
                                   "file", "mode", "granularity", "token"}) {
        CAPTURE(name);
        CHECK(fields({name + "=42"}) == ",\"" + name + R"(":"42")");
        CHECK(fields({name + "=true"}) == ",\"" + name + R"(":"true")");
        CHECK(fields({name + "=[1]"}) == ",\"" + name + R"(":"[1]")");
        CHECK(fields({name + "=\"4\\u00322\""}) == ",\"" + name + R"(":"4\u00322")");
        CHECK(fields({name + "=\"open"}) == ",\"" + name + R"(":"\"open")");
        CHECK(fields({name + "="}) == ",\"" + name + R"(":"")");
    }
}

TEST_CASE("call request: the token is added once") {
    CHECK(fields({"a=1"}, "s\"t") == R"(,"a":1,"token":"s\"t")");
    CHECK(fields({"token=mine"}, "secret") == R"(,"token":"mine")");
    CHECK(request_from_json(R"({"v":2,"op":"x"})", "secret") == R"({"token":"secret","v":2,"op":"x"})");
    CHECK(request_from_json("{}", "secret") == R"({"token":"secret"})");
    CHECK(request_from_json("{ }", "secret") == R"({"token":"secret" })");
    CHECK(request_from_json(R"({"token":null})", "secret") == R"({"token":null})");
    CHECK(request_from_json(R"({"token":"mine"})", "secret") == R"({"token":"mine"})");
    CHECK(request_from_json(R"({"a":{"token":1}})", "secret") == R"({"token":"secret","a":{"token":1}})");
}

TEST_CASE("call request: JSON is sent as it stands, on one line") {
    CHECK(request_from_json("{\"v\": 2,\r\n \"n\": 1.50}\n", "") == "{\"v\": 2,   \"n\": 1.50}");
    CHECK(request_from_json("  {\"v\":3}  ", "") == "{\"v\":3}");
    CHECK(request_from_json("{broken", "secret") == "{broken");
    CHECK(request_from_json("[1]", "secret") == "[1]");
    CHECK(request_from_json("", "secret").empty());
    CHECK(looks_like_json(" {}"));
    CHECK(looks_like_json("[1]"));
    CHECK(looks_like_json("\"x\""));
    CHECK(!looks_like_json("system.ping"));
    CHECK(!looks_like_json(""));
}

TEST_CASE("call request: the version can be set, the op only once") {
    CHECK(request_from_fields("x", std::vector<std::string>{"v=3"}, "") == R"({"op":"x","v":3})");
    CHECK_THROWS_AS(fields({"op=y"}), UsageError);
}

TEST_CASE("call request: wrong arguments are named") {
    const auto message = [](const std::vector<std::string>& arguments) -> std::string {
        try {
            return "accepted: " + request_from_fields("o", arguments, "");
        } catch (const UsageError& error) {
            return error.what();
        }
    };
    CHECK(message({"key"}) == "\"key\": expected name=value");
    CHECK(message({""}) == "\"\": expected name=value");
    CHECK(message({"=1"}) == "\"=1\": a name is empty");
    CHECK(message({"a..b=1"}) == "\"a..b=1\": a name is empty");
    CHECK(message({"a.=1"}) == "\"a.=1\": a name is empty");
    CHECK(message({"a=1", "a=2"}) == "\"a=2\": \"a\" has a value already");
    CHECK(message({"a=1", "a.b=2"}) == "\"a.b=2\": \"a\" has a value already");
    CHECK(message({"a.b=2", "a=1"}) == "\"a=1\": \"a\" has a value already");
    CHECK(message({"a.b=2", "a.b=1"}) == "\"a.b=1\": \"a.b\" has a value already");
}

}  // namespace karma::test
