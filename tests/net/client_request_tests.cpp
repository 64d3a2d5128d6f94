#include <string>

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <doctest/doctest.h>

#include "net/access.h"
#include "net/client_request.h"
#include "net/request_decoder.h"

namespace karma::net {

namespace json = boost::json;

TEST_CASE("client requests: a line has the version, the operation, the token and the fields") {
    const std::string line =
        request_line("counter.sum", "s\"ecret", {{"series", "two\nlines"}, {"key", 18446744073709551615U}});
    CHECK(line.find('\n') == std::string::npos);
    CHECK(json::parse(line) == json::value({{"v", 2},
                                            {"op", "counter.sum"},
                                            {"token", "s\"ecret"},
                                            {"series", "two\nlines"},
                                            {"key", 18446744073709551615U}}));
    CHECK(json::parse(request_line("system.health", "", {})) ==
          json::value({{"v", 2}, {"op", "system.health"}}));
}

TEST_CASE("client requests: a daemon understands the line") {
    const Access access("s3", "");
    RequestDecoder decoder(access);
    const std::string line = request_line("tree.create", "s3", {{"series", "links"}});
    const Decoded decoded = decoder.decode(line, true);
    const auto* const request = std::get_if<Request>(&decoded);
    REQUIRE(request != nullptr);
    const auto* const mutation = std::get_if<Mutation>(request);
    REQUIRE(mutation != nullptr);
    CHECK(std::get<mutation::CreateSeries>(*mutation).series == "links");
}

TEST_CASE("client requests: the members of a reply are there, whether it is refused or not") {
    const auto accepted = parse_reply(R"({"protocol_version":2,"success":true,"response":null})");
    REQUIRE(accepted);
    CHECK(accepted->at("success").as_bool());
    CHECK(accepted->at("response").is_null());
    const auto refused =
        parse_reply(R"({"success":false,"response":"why","error_code":"not_found","common_lsn":7})");
    REQUIRE(refused);
    CHECK_FALSE(refused->at("success").as_bool());
    CHECK(refused->at("error_code") == "not_found");
    CHECK(refused->at("common_lsn") == 7);
}

TEST_CASE("client requests: what is no reply is told from one") {
    for (const char* const line :
         {"", "HTTP/1.1 400 Bad Request", "7", "[]", "{}", R"({"success":true)", R"({"success":true})",
          R"({"response":1})", R"({"success":1,"response":1})", R"({"success":null,"response":1})",
          R"({"success":true,"response":1} trailing)"}) {
        CAPTURE(line);
        CHECK_FALSE(parse_reply(line));
    }
}

}  // namespace karma::net
