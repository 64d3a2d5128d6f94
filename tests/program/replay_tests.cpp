// The replayer has to see what differs, or the conversations prove nothing.
#include <stdexcept>
#include <string>

#include <doctest/doctest.h>

#include "tests/program/replay.h"
#include "tests/support/json.h"
#include "tests/support/temp_dir.h"

namespace karma::test {

namespace {

Step step(const std::string& reply, Match match = Match::exact, std::vector<std::string> ignore = {}) {
    Step result;
    result.reply = parse_json(reply);
    result.match = match;
    result.ignore = std::move(ignore);
    return result;
}

std::string success(const std::string& response) {
    return R"({"protocol_version":2,"success":true,"response":)" + response + R"(,"error_code":null})";
}

std::string error(const std::string& code, const std::string& text = "what is wrong") {
    return R"({"protocol_version":2,"success":false,"response":")" + text + R"(","error_code":")" + code +
           "\"}";
}

bool equal(const std::string& want, const std::string& got, Match match = Match::exact,
           std::vector<std::string> ignore = {}) {
    return difference(step(want, match, std::move(ignore)), parse_json(got)).empty();
}

}  // namespace

TEST_CASE("replayer: exact replies") {
    CHECK(equal(success("1"), success("1")));
    CHECK_FALSE(equal(success("1"), success("2")));
    CHECK_FALSE(equal(success("1"), success("\"1\"")));
    CHECK_FALSE(equal(success("1"), error("not_found")));
    CHECK(equal(success(R"({"a":1,"b":[1,2]})"), success(R"({"b":[1,2],"a":1})")));
    CHECK_FALSE(equal(success(R"({"a":1})"), success(R"({"a":1,"b":2})")));
    CHECK_FALSE(equal(success("[1,2]"), success("[2,1]")));
    CHECK_FALSE(
        equal(success("1"), R"({"protocol_version":1,"success":true,"response":1,"error_code":null})"));
    CHECK_FALSE(equal(success("null"), R"({"protocol_version":2,"success":true,"error_code":null})"));
    CHECK_FALSE(equal(success("1"), R"({"protocol_version":2,"success":true,"response":1})"));
    CHECK_FALSE(equal(success("1"), "[]"));
}

TEST_CASE("replayer: errors are compared by their code") {
    CHECK(equal(error("not_found", "one text"), error("not_found", "another")));
    CHECK_FALSE(equal(error("not_found"), error("validation_error")));
    CHECK_FALSE(equal(error("not_found"), error("not_found", "")));
    CHECK(equal(success("1"), success("2"), Match::code));
    CHECK_FALSE(equal(success("1"), error("not_found"), Match::code));
    CHECK(equal(success("1"), error("not_found"), Match::skip));
}

TEST_CASE("replayer: idempotent is part of an exact reply") {
    const std::string first =
        R"({"protocol_version":2,"success":true,"response":1,"idempotent":false,"error_code":null})";
    const std::string repeat =
        R"({"protocol_version":2,"success":true,"response":1,"idempotent":true,"error_code":null})";
    CHECK(equal(first, first));
    CHECK_FALSE(equal(first, repeat));
    CHECK_FALSE(equal(success("1"), first));
    CHECK_FALSE(equal(first, success("1")));
}

TEST_CASE("replayer: ignored fields, further fields, free order") {
    CHECK(
        equal(success(R"({"a":[{"t":1,"b":2}]})"), success(R"({"a":[{"t":9,"b":2}]})"), Match::exact, {"t"}));
    CHECK_FALSE(
        equal(success(R"({"a":[{"t":1,"b":2}]})"), success(R"({"a":[{"t":1,"b":3}]})"), Match::exact, {"t"}));
    CHECK(equal(success(R"({"a":{"b":1}})"), success(R"({"a":{"b":1,"c":2},"d":3})"), Match::superset));
    CHECK_FALSE(equal(success(R"({"a":{"b":1}})"), success(R"({"a":{"c":1}})"), Match::superset));
    CHECK_FALSE(equal(success("[1]"), success("[1,2]"), Match::superset));
    CHECK(equal(success(R"([{"a":1,"b":2},{"a":2}])"), success(R"([{"a":2},{"b":2,"a":1}])"), Match::sorted));
    CHECK_FALSE(equal(success("[1,1,2]"), success("[1,2,2]"), Match::sorted));
}

TEST_CASE("replayer: integers are compared to the last digit") {
    CHECK_FALSE(equal(success("9007199254740993"), success("9007199254740992")));
    CHECK(equal(success("18446744073709551615"), success("18446744073709551615")));
    CHECK_FALSE(equal(success("18446744073709551615"), success("18446744073709551614")));
    CHECK(equal(success("36893488147419103230"), success("36893488147419103230")));
    CHECK_FALSE(equal(success("36893488147419103230"), success("36893488147419103231")));
    CHECK_FALSE(equal(success("36893488147419103230"), success("36893488147419103230.0")));
    CHECK_FALSE(equal(success("36893488147419103230"), success("\"36893488147419103230\"")));
    CHECK(parse_json("[36893488147419103230]") == json::value{big_integer("36893488147419103230")});
    CHECK(parse_json("1.5") == json::value(1.5));
}

TEST_CASE("replayer: a conversation that cannot be read names its file and line") {
    const TempDir directory;
    write_file(directory / "bad.jsonl", "{\"args\":[]}\n{\"send\":\"x\"}\n");
    CHECK_THROWS_WITH_AS(load_conversation(directory / "bad.jsonl"), doctest::Contains("bad.jsonl:2"),
                         std::runtime_error);
    write_file(directory / "match.jsonl", R"({"send":"x","reply":{},"match":"nearly"})");
    CHECK_THROWS_WITH_AS(load_conversation(directory / "match.jsonl"), doctest::Contains("nearly"),
                         std::runtime_error);
    CHECK_THROWS_AS(load_conversation(directory / "none.jsonl"), std::runtime_error);
}

}  // namespace karma::test
