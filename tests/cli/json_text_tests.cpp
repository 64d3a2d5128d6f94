// JSON handled as text: nothing of it changes but white space.
#include <string>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <doctest/doctest.h>

#include "cli/json_text.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace json = boost::json;
using cli::compact;
using cli::indented;
using cli::member_text;

TEST_CASE("json text: members are found as they stand there") {
    const std::string text =
        R"( { "a" : 1.50e0 ,"b":"x\"}{,", "c":[1,{"a":2}],"d":{"e":[]} , "f":null,"g" : -0 , "a":7} )";
    CHECK(member_text(text, "a") == "1.50e0");
    CHECK(member_text(text, "b") == R"("x\"}{,")");
    CHECK(member_text(text, "c") == R"([1,{"a":2}])");
    CHECK(member_text(text, "d") == R"({"e":[]})");
    CHECK(member_text(text, "f") == "null");
    CHECK(member_text(text, "g") == "-0");
    CHECK(!member_text(text, "e"));
    CHECK(!member_text(text, ""));
    CHECK(!member_text("{}", "a"));
    CHECK(!member_text("[\"a\",1]", "a"));
    CHECK(!member_text("\"a\"", "a"));
    CHECK(!member_text("", "a"));
    CHECK(member_text(R"({"\\":1,"a":true})", "a") == "true");
}

TEST_CASE("json text: compact and indented") {
    const std::string text =
        "{ \"a b\" : [ 1 , 2.0 , { } , [ ] , \"x , y\" ] ,\n\t\"c\":{\"d\":18446744073709551616}}";
    CHECK(compact(text) == R"({"a b":[1,2.0,{},[],"x , y"],"c":{"d":18446744073709551616}})");
    CHECK(indented(text) ==
          "{\n  \"a b\": [\n    1,\n    2.0,\n    {},\n    [],\n    \"x , y\"\n  ],\n  \"c\": {\n    \"d\": "
          "18446744073709551616\n  }\n}");
    CHECK(indented("7") == "7");
    CHECK(indented("[]") == "[]");
    CHECK(compact(" null ") == "null");
}

namespace {

std::string random_white(std::mt19937_64& random) {
    return std::string(random_between(random, 0, 2), " \t\n\r"[random_between(random, 0, 3)]);
}

std::string random_json(std::mt19937_64& random, int depth) {
    switch (random_between(random, 0, depth > 0 ? 5 : 3)) {
        case 0: return std::to_string(random() >> random_between(random, 0, 63));
        case 1: return random_between(random, 0, 1) == 0 ? "true" : "null";
        case 2: return "\"" + random_word(random, 3) + R"(\"{[,:]}\\)" + "\"";
        case 3: return "-1.25e-3";
        case 4: {
            std::string text = "[" + random_white(random);
            const auto count = random_between(random, 0, 4);
            for (std::uint64_t at = 0; at < count; ++at) {
                text += (at == 0 ? "" : ",") + random_white(random) + random_json(random, depth - 1) +
                        random_white(random);
            }
            return text + "]";
        }
        default: {
            std::string text = "{" + random_white(random);
            const auto count = random_between(random, 0, 4);
            for (std::uint64_t at = 0; at < count; ++at) {
                text += (at == 0 ? "\"" : ",\"") + std::to_string(at) + "\"" + random_white(random) + ":" +
                        random_white(random) + random_json(random, depth - 1) + random_white(random);
            }
            return text + "}";
        }
    }
}

}  // namespace

TEST_CASE("json text: random JSON keeps its meaning") {
    auto random = random_engine("json text");
    for (int round = 0; round < 3'000; ++round) {
        const std::string text = random_white(random) + random_json(random, 4) + random_white(random);
        CAPTURE(text);
        const json::value value = json::parse(text);
        CHECK(json::parse(compact(text)) == value);
        CHECK(json::parse(indented(text)) == value);
        CHECK(compact(indented(text)) == compact(text));
        const json::object* const object = value.if_object();
        if (object == nullptr) continue;
        for (const auto& [name, member] : *object) {
            const auto found = member_text(text, name);
            REQUIRE(found);
            CHECK(json::parse(*found) == member);
        }
    }
}

}  // namespace karma::test
