// Lines of protocol v1 and v2 on one connection.
#include <algorithm>
#include <string>
#include <vector>

#include <boost/json/parse.hpp>
#include <doctest/doctest.h>

#include "engine/engine.h"
#include "net/client_request.h"
#include "net/line_protocol.h"
#include "tests/support/json.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {
namespace {

// Lines through the protocol and an engine, without a pipeline.
class BothProtocols {
public:
    explicit BothProtocols(bool takes_v1 = true, std::size_t line_bytes_max = 1'000)
        : input_(line_bytes_max), protocol_(decoder_, writer_, line_bytes_max, takes_v1 ? &v1_ : nullptr) {}

    // The replies to what is complete now.
    std::vector<std::string> send(std::string_view bytes) {
        std::vector<std::string> replies;
        while (!bytes.empty()) {
            const std::span<char> room = input_.room();
            const std::size_t size = std::min(room.size(), bytes.size());
            std::ranges::copy(bytes.substr(0, size), room.begin());
            input_.add(size);
            bytes.remove_prefix(size);
            answer_all(replies);
        }
        return replies;
    }

    std::string one(const std::string& line) {
        const std::vector<std::string> replies = send(line + "\n");
        REQUIRE(replies.size() == 1);
        return replies.front();
    }

    net::LineProtocol& protocol() { return protocol_; }
    bool is_over = false;

private:
    void answer_all(std::vector<std::string>& replies) {
        Request request;
        net::Call call;
        Error refusal;
        net::Protocol::Taken taken{};
        while (!is_over && (taken = protocol_.take(input_, true, request, call, refusal)) !=
                               net::Protocol::Taken::nothing) {
            is_over = taken == net::Protocol::Taken::last_refusal;
            std::string reply;
            if (taken == net::Protocol::Taken::request) {
                protocol_.write(call, execute(request), Deduplication::no_key, NoDeadline(), reply);
            } else {
                protocol_.write(call, Reply(refusal), Deduplication::no_key, NoDeadline(), reply);
                std::string error;
                call.write_error(refusal, error);
                CHECK(error == reply);
            }
            protocol_.release();
            replies.push_back(std::move(reply));
        }
    }

    Reply execute(const Request& request) {
        if (std::holds_alternative<query::Ping>(request)) {
            return reply::Pong{};  // no question for an engine
        }
        Outcome outcome = engine_.execute(request, some_time_ms);
        if (auto* const task = std::get_if<std::unique_ptr<Task>>(&outcome.result)) {
            return (*task)->run(NoDeadline());
        }
        return std::get<Reply>(outcome.result);
    }

    static constexpr std::int64_t some_time_ms = 1'780'000'000'000;

    net::Access access_{net::TokenSet()};
    net::DecoderOptions decoder_options_;
    net::RequestDecoder decoder_{access_, decoder_options_};
    net::V1Decoder v1_{access_};
    net::ReplyWriter writer_{10'000};
    net::LineBuffer input_;
    net::LineProtocol protocol_;
    NullSink sink_;
    Engine engine_{1, sink_};
};

std::string success(int version, const std::string& response) {
    return R"({"protocol_version":)" + std::to_string(version) + R"(,"success":true,"response":)" + response +
           ",\"error_code\":null}\r\n";
}

bool is_error(const std::string& reply, int version, const std::string& code) {
    CAPTURE(reply);
    return reply.starts_with(R"({"protocol_version":)" + std::to_string(version) + R"(,"success":false,)") &&
           reply.ends_with(",\"error_code\":\"" + code + "\"}\r\n");
}

const std::string v1_ping = R"({"command":"ping"})";
const std::string v2_ping = R"({"v":2,"op":"system.ping"})";

}  // namespace

TEST_CASE("lines: each is answered in its own protocol") {
    BothProtocols both;
    CHECK(both.one(v1_ping) == success(1, "\"pong\""));
    CHECK(both.one(v2_ping) == success(2, "\"pong\""));
    CHECK(both.one(R"({"command":"increment","tree_name":"a","key":1})") == success(1, "1"));
    CHECK(both.one(R"({"v":2,"op":"counter.increment","series":"a","key":1,"value":4})") == success(2, "4"));
    CHECK(both.one(R"({"command":"sum","tree_name":"a","key":1})") == success(1, "5"));
    CHECK(both.one(R"({"command":"find","tree_name":"a","time_from":0,"time_to":99999999})") ==
          success(1, R"({"1":{"20260528":5}})"));
    CHECK(both.one(R"({"command":"find","tree_name":"a","time_from":0,"time_to":3})") ==
          success(1, R"({"1":{}})"));
    CHECK(both.one(R"({"command":"find","tree_name":"a","key":1,"time_from":20260529,"time_to":20260529})") ==
          success(1, "{}"));
    CHECK(both.one(R"({"command":"sum","tree_name":"a","key":1,"time_from":20260529,"time_to":20260532})") ==
          success(1, "0"));
    CHECK(both.one(R"({"command":"sum","tree_name":"a","key":1,"time_from":20260532,"time_to":20260600})") ==
          success(1, "0"));
    CHECK(both.one(R"({"command":"decrement","tree_name":"b","key":9})") == success(1, "1"));
    CHECK(both.one(R"({"command":"find","tree_name":"b","key":9,"time_from":0,"time_to":99999999})") ==
          success(1, "{}"));
    CHECK(both.one(R"({"command":"delete","tree_name":"c","time_from":3,"time_to":4})") ==
          success(1, "true"));
    CHECK(both.one(R"({"command":"trees"})") == success(1, R"(["a","b","c"])"));
    CHECK(both.one(R"({"command":"reset","tree_name":"a"})") == success(1, "\"OK\""));
    CHECK(is_error(both.one(R"({"command":"sum","tree_name":"none","key":1})"), 1, "not_found"));
    CHECK(is_error(both.one(R"({"command":"nope"})"), 1, "unknown_command"));
    CHECK(is_error(both.one(R"({"v":2,"op":"nope"})"), 2, "unknown_command"));
    CHECK(is_error(both.one(R"({"v":2,"op":"counter.sum","series":"none","key":1})"), 2, "not_found"));
}

TEST_CASE("lines: a field v makes a request one of v2, a field command without it one of v1") {
    BothProtocols both;
    CHECK(both.one(R"({"command":"ping","op":"system.health"})") == success(1, "\"pong\""));
    CHECK(both.one(R"({"command":"ping","v":2,"op":"system.ping"})") == success(2, "\"pong\""));
    CHECK(is_error(both.one(R"({"command":"ping","v":1})"), 2, "unsupported_protocol"));
    CHECK(is_error(both.one(R"({"op":"system.ping"})"), 2, "unsupported_protocol"));
    CHECK(is_error(both.one(R"({"command":7})"), 1, "invalid_json"));
}

TEST_CASE("lines: what is of no protocol is answered as the request before it") {
    const std::vector<std::string> unclear = {"xx",    "", "[]", "1", "null", "{}", R"({"tree_name":"a"})",
                                              "{\"v\""};
    BothProtocols both;
    for (const std::string& line : unclear) {
        CAPTURE(line);
        CHECK(is_error(both.one(line), 1, "invalid_json"));
    }
    both.one(v2_ping);
    for (const std::string& line : unclear) {
        CAPTURE(line);
        BothProtocols v2(false);
        CHECK(both.one(line) == v2.one(line));
    }
    both.one(v1_ping);
    for (const std::string& line : unclear) {
        CAPTURE(line);
        CHECK(is_error(both.one(line), 1, "invalid_json"));
    }
    // A refused request tells it as well.
    both.one(R"({"v":2})");
    CHECK(is_error(both.one("[]"), 2, "validation_error"));
}

TEST_CASE("lines: without protocol v1 every line is of v2") {
    BothProtocols v2(false);
    CHECK(is_error(v2.one(v1_ping), 2, "unsupported_protocol"));
    CHECK(is_error(v2.one("xx"), 2, "invalid_json"));
    CHECK(is_error(v2.one("[]"), 2, "validation_error"));
    CHECK(v2.one(v2_ping) == success(2, "\"pong\""));
    std::string error;
    v2.protocol().error_writer()({ErrorCode::resource_exhausted, "full"}, error);
    CHECK(is_error(error, 2, "resource_exhausted"));
}

TEST_CASE("lines: what ends the connection is answered in the protocol of the client") {
    for (const bool is_v2 : {false, true}) {
        CAPTURE(is_v2);
        const int version = is_v2 ? 2 : 1;
        BothProtocols too_long(true, 100);
        too_long.one(is_v2 ? v2_ping : v1_ping);
        const std::vector<std::string> replies = too_long.send(std::string(101, ' '));
        REQUIRE(replies.size() == 1);
        CHECK(is_error(replies[0], version, "request_too_large"));
        CHECK(too_long.is_over);
        BothProtocols browser;
        browser.one(is_v2 ? v2_ping : v1_ping);
        CHECK(is_error(browser.one("POST / HTTP/1.1"), version, "invalid_json"));
        CHECK(browser.is_over);
        // What no request is to be blamed for.
        std::string error;
        too_long.protocol().error_writer()({ErrorCode::resource_exhausted, "full"}, error);
        CHECK(is_error(error, version, is_v2 ? "resource_exhausted" : "internal_error"));
    }
}

TEST_CASE("lines: error codes that v1 does not know are its internal errors") {
    for (const ErrorCode code :
         {ErrorCode::invalid_json, ErrorCode::unsupported_protocol, ErrorCode::unknown_command,
          ErrorCode::validation_error, ErrorCode::not_found, ErrorCode::unauthorized, ErrorCode::forbidden,
          ErrorCode::request_too_large, ErrorCode::response_too_large, ErrorCode::query_timeout,
          ErrorCode::idempotency_conflict, ErrorCode::replication_gap, ErrorCode::replication_error,
          ErrorCode::internal_error, ErrorCode::resource_exhausted}) {
        const std::string name(error_code_name(code));
        const bool is_known = name == "invalid_json" || name == "unknown_command" ||
                              name == "validation_error" || name == "not_found" || name == "unauthorized" ||
                              name == "request_too_large";
        std::string line;
        net::V1ReplyWriter::write_error({code, "caf\xE9 \"x\""}, line);
        CHECK(line == R"({"protocol_version":1,"success":false,"response":"caf)"
                      "\xEF\xBF\xBD \\\"x\\\"\",\"error_code\":\"" +
                          (is_known ? name : "internal_error") + "\"}\r\n");
        // Statistics count what it was.
        const net::ReplyWriter writer(0);
        std::string other;
        CHECK(net::V1ReplyWriter(writer).write(net::ReplyForm::v1_true, Error{code, "x"}, NoDeadline(),
                                               other) == code);
    }
}

TEST_CASE("lines: a reply of v1 that is too large becomes an error of v1") {
    const net::ReplyWriter writer(100);
    std::string line;
    CHECK(net::V1ReplyWriter(writer).write(net::ReplyForm::v1,
                                           reply::SeriesNames{.names = {std::string(200, 'x')}}, NoDeadline(),
                                           line) == ErrorCode::response_too_large);
    CHECK(is_error(line, 1, "internal_error"));
    CHECK(contains(line, "Response exceeds 100 bytes\""));  // v1 has no pages
}

namespace {

// Lines of both protocols, right and damaged.
class AnyLines {
public:
    explicit AnyLines(std::mt19937_64& random) : random_(random) {}

    std::string next() {
        std::string line = make();
        if (below(4) == 0) {
            for (std::uint64_t changes = 1 + below(3); changes != 0 && !line.empty(); --changes) {
                damage(line);
            }
        }
        std::ranges::replace(line, '\n', ' ');
        return line;
    }

private:
    std::uint64_t below(std::uint64_t count) { return random_between(random_, 0, count - 1); }
    std::string any_of(const std::vector<std::string>& choices) { return choices[below(choices.size())]; }

    std::string make() {
        const std::string name = any_of({"\"a\"", "\"b\"", "\"серия\"", "\"\"", "3", "null"});
        const std::string key =
            any_of({"1", "2", "18446744073709551615", "18446744073709551616", "-1", "1.5"});
        const std::string from = any_of({"0", "20200101", "20260528", "20260532", "99999999"});
        const std::string to = any_of({"99999999", "20991231", "20260528", "20260532", "0"});
        switch (below(5)) {
            case 0:
                return R"({"v":2,"op":")" +
                       any_of(
                           {"counter.increment", "counter.decrement", "counter.sum", "tree.reset", "nope"}) +
                       R"(","series":)" + name + R"(,"key":)" + key + "}";
            case 1:
                return R"({"v":2,"op":"tree.series","series":)" + name + R"(,"range":{"from":)" + from +
                       R"(,"to":)" + to + "}}";
            case 2: return any_of({"", "xx", "[]", "{}", "null", "{\"tree_name\":\"a\"}", "{\"op\":1}"});
            default:
                return R"({"command":")" +
                       any_of({"increment", "decrement", "sum", "find", "delete", "reset", "create", "drop",
                               "trees", "ping", "nope"}) +
                       R"(","tree_name":)" + name +
                       any_of({R"(,"key":)" + key, R"(,"key":1)", std::string()}) +
                       any_of({R"(,"time_from":)" + from + R"(,"time_to":)" + to, std::string()}) + "}";
        }
    }

    void damage(std::string& line) {
        const std::uint64_t at = below(line.size());
        switch (below(3)) {
            case 0: line[at] = static_cast<char>(below(256)); break;
            case 1: line.erase(at, 1 + below(4)); break;
            default: line.insert(at, 1, "{}[]\",:0"[below(8)]); break;
        }
    }

    std::mt19937_64& random_;
};

// Which protocol a line is of, read in another way than the daemon does.
int version_of(const std::string& line, int before) {
    boost::system::error_code failure;
    const json::value value = json::parse(line, failure);
    if (failure || !value.is_object()) return before;
    const json::object& object = value.as_object();
    if (object.count("v") != 0) return 2;
    if (object.count("command") != 0) return 1;
    return object.count("op") != 0 ? 2 : before;
}

}  // namespace

TEST_CASE("lines: any lines in any pieces are answered in order, each in its own form") {
    std::mt19937_64 random = random_engine("lines of both protocols");
    for (int round = 0; round < 20; ++round) {
        BothProtocols both(true, 100'000);
        BothProtocols by_line(true, 100'000);
        AnyLines lines(random);
        std::string sent;
        std::vector<std::string> wanted;
        int version = 1;
        for (int i = 0; i < 200; ++i) {
            const std::string line = lines.next();
            CAPTURE(line);
            sent += line;
            sent += '\n';
            wanted.push_back(by_line.one(line));
            version = version_of(line, version);
            CHECK(wanted.back().starts_with("{\"protocol_version\":" + std::to_string(version) + ","));
            CHECK(wanted.back().ends_with("}\r\n"));
            const std::string_view text(wanted.back().data(), wanted.back().size() - 2);
            CHECK_FALSE(contains(text, "\n"));
            CHECK(net::parse_reply(text).has_value());
        }
        std::vector<std::string> replies;
        std::string_view rest = sent;
        while (!rest.empty()) {
            const std::size_t size = random_between(random, 1, std::min<std::size_t>(rest.size(), 700));
            for (std::string& reply : both.send(rest.substr(0, size))) replies.push_back(std::move(reply));
            rest.remove_prefix(size);
        }
        CHECK(replies == wanted);
    }
}

}  // namespace karma::test
