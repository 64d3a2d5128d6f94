// That the model is right, and that the tester notices when the daemon is not.

#include <fstream>

#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>

#include "tests/model/generator.h"
#include "tests/model/runner.h"

namespace karma::test::model {

namespace {

// What a recorded reply holds is of another time, or of Karma 1.0's files.
bool is_of_its_time(std::string_view line) {
    for (const std::string_view op : {"\"recovery.", "\"snapshot.", "\"replication.", "\"system."})
        if (line.find(op) != std::string_view::npos) return true;
    return false;
}

void replay_conversation(const std::string& file) {
    Config config;
    Model model(config);
    std::ifstream lines(test_file("conformance/" + file));
    std::size_t compared = 0;
    for (std::string line; std::getline(lines, line);) {
        const json::value step = parse_json(line);
        const json::value* const sent = step.as_object().if_contains("send");
        if (sent == nullptr) continue;
        const std::string request(sent->as_string());
        const Expected expected = model.answer(request);
        if (is_of_its_time(request)) continue;
        json::value reply = member(step, "reply");
        if (json::object* const response = reply.as_object()["response"].if_object())
            if (response->contains("branches")) (*response)["branches"] = 1;
        const auto wrong = wrong_reply(expected, reply);
        CAPTURE(request);
        CHECK_MESSAGE(!wrong, file << ": " << wrong.value_or(""));
        ++compared;
    }
    CHECK(compared > 20);
}

Profile small_profile() {
    Profile profile;
    profile.name = "self test";
    profile.arguments = {"--wal-fsync=false"};
    return profile;
}

std::mt19937_64 engine() { return std::mt19937_64(1); }

std::string increment(std::uint64_t value) {
    return R"({"v":2,"op":"counter.increment","series":"a","key":1,"bucket":20260505,"value":)" +
           std::to_string(value) + "}";
}

}  // namespace

TEST_CASE("model: it answers as in the recorded conversations") {
    for (const char* const file : {"basics", "batches", "errors", "idempotency", "ingest", "ingest-restart",
                                   "retention", "random-1", "random-2", "random-3"})
        replay_conversation(std::string(file) + ".jsonl");
}

TEST_CASE("model: an event that the model does not know of is noticed") {
    Runner runner(small_profile(), engine());
    runner.send({increment(5)});
    runner.compare_all();
    runner.daemon().connect().ask_line(increment(1));
    CHECK_THROWS_AS(runner.compare_all(), Difference);
}

TEST_CASE("model: what follows a snapshot.load in the same packet is counted on top of it") {
    Runner runner(small_profile(), engine());
    runner.send({increment(5), R"({"v":2,"op":"snapshot.create","series":"a"})"});
    runner.send({R"({"v":2,"op":"snapshot.info"})"});
    for (int round = 0; round < 20; ++round) {
        const std::string file = json::serialize(json::value(runner.model().loadable().at(0)->file));
        runner.send({R"({"v":2,"op":"snapshot.load","file":)" + file + "}", increment(100),
                     R"({"v":2,"op":"counter.sum","series":"a","key":1})"});
    }
    runner.compare_all();
}

TEST_CASE("model: a write behind a read of a large series in the same packet is answered") {
    Runner runner(small_profile(), engine());
    std::mt19937_64 random = engine();
    for (const std::string& line : Generator(random, {}).large_series("a", 40'000)) runner.send({line});
    for (int round = 0; round < 5; ++round)
        runner.send({R"({"v":2,"op":"tree.top","series":"a"})", increment(1)});
    runner.compare_all();
}

TEST_CASE("model: replies that are wrong in any way are noticed") {
    Model model({});
    const Expected expected = model.answer(increment(5));
    const auto wrong = [&](const char* reply) {
        return wrong_reply(expected, parse_json(reply)).has_value();
    };
    CHECK_FALSE(wrong(R"({"protocol_version":2,"success":true,"response":5,"error_code":null})"));
    CHECK(wrong(R"({"protocol_version":2,"success":true,"response":6,"error_code":null})"));
    CHECK(wrong(R"({"protocol_version":1,"success":true,"response":5,"error_code":null})"));
    CHECK(wrong(R"({"protocol_version":2,"success":false,"response":"no","error_code":"internal_error"})"));
    CHECK(
        wrong(R"({"protocol_version":2,"success":true,"response":5,"idempotent":false,"error_code":null})"));
    CHECK(wrong(R"({"protocol_version":2,"success":true,"response":"5","error_code":null})"));
}

}  // namespace karma::test::model
