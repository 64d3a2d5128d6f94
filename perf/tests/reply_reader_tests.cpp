#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "perf/load/reply_reader.h"

namespace karma::perf {

namespace {

using Replies = std::vector<std::pair<bool, std::string>>;

Replies read_in_pieces(Protocol protocol, std::string_view bytes, std::size_t piece) {
    ReplyReader reader(protocol);
    Replies replies;
    for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
        // A copy of its own, so that reading past the piece would be noticed.
        const std::string part(bytes.substr(0, piece));
        reader.feed(part, [&](bool good, std::string_view start) { replies.emplace_back(good, start); });
    }
    return replies;
}

// The same, whatever pieces the bytes come in.
Replies read(Protocol protocol, const std::string& bytes) {
    Replies whole = read_in_pieces(protocol, bytes, bytes.size());
    for (std::size_t piece = 1; piece < bytes.size(); ++piece) {
        CAPTURE(piece);
        CHECK(read_in_pieces(protocol, bytes, piece) == whole);
    }
    return whole;
}

const std::string good_reply = R"({"protocol_version":2,"success":true,"response":1,"error_code":null})";
const std::string bad_reply =
    R"({"protocol_version":2,"success":false,"response":"no","error_code":"not_found"})";

}  // namespace

TEST_CASE("karma: success is told from failure") {
    CHECK(read(Protocol::karma,
               good_reply + "\r\n" + bad_reply + "\r\n" + good_reply + "\n" + "nonsense\r\n" + "\n") ==
          Replies{
              {true, good_reply}, {false, bad_reply}, {true, good_reply}, {false, "nonsense"}, {false, ""}});
}

TEST_CASE("karma: of a long reply only the start is kept") {
    const std::string reply = good_reply + std::string(3000, ' ');
    const Replies replies = read(Protocol::karma, reply + "\r\n" + bad_reply + "\r\n");
    CHECK(replies == Replies{{true, reply.substr(0, ReplyReader::kept_bytes)}, {false, bad_reply}});
}

TEST_CASE("line: every line is good") {
    CHECK(read(Protocol::line, "a\r\n\nb\n") == Replies{{true, "a"}, {true, ""}, {true, "b"}});
}

TEST_CASE("redis: numbers, states, strings and nulls are good, errors are not") {
    CHECK(read(Protocol::redis, ":12\r\n+OK\r\n-ERR wrong\r\n$-1\r\n$3\r\nabc\r\n$0\r\n\r\n:1\r\n") ==
          Replies{{true, ":12"},
                  {true, "+OK"},
                  {false, "-ERR wrong"},
                  {true, "$-1"},
                  {true, "$"},
                  {true, "$"},
                  {true, ":1"}});
}

TEST_CASE("redis: line ends inside a string do not end it") {
    CHECK(read(Protocol::redis, "$4\r\n\r\n\r\n\r\n:1\r\n") == Replies{{true, "$"}, {true, ":1"}});
}

TEST_CASE("redis: what is no reply is an error") {
    CHECK(read(Protocol::redis, "hello\r\n$x\r\n*2\r\n$-7\r\n\r\n") ==
          Replies{{false, "hello"}, {false, "$x"}, {false, "*2"}, {false, "$-7"}, {false, ""}});
}

}  // namespace karma::perf
