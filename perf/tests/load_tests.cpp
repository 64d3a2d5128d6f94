#include <atomic>
#include <chrono>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include "perf/load/load.h"
#include "perf/measure/clock.h"
#include "perf/tests/fake_server.h"
#include "perf/tests/parse.h"
#include "tests/support/settings.h"

namespace karma::perf {

namespace json = boost::json;

namespace {

constexpr const char* success =
    "{\"protocol_version\":2,\"success\":true,\"response\":1,\"error_code\":null}\r\n";

LoadResult run(const FakeServer& server, std::vector<std::string> arguments) {
    arguments.push_back("--port=" + std::to_string(server.port()));
    arguments.push_back("--seed=" + std::to_string(karma::test::test_seed()));
    return run_load(parse(arguments));
}

// Keeps what it is told, and refuses what is no proper request.
struct Counters {
    std::map<std::pair<std::string, std::uint64_t>, std::uint64_t> totals;
    std::map<std::string, int> operations;
    std::map<std::string, std::string> idempotency_keys;  // and the request that had it
    bool takes_repeats = false;
    std::uint64_t repeats = 0;
    std::set<std::string> buckets;
    std::set<std::string> members;  // of all requests

    std::string answer(const std::string& line) {
        const json::object request = json::parse(line).as_object();
        for (const auto& member : request) members.insert(std::string(member.key()));
        if (request.at("v") != 2) throw std::runtime_error("v");
        const std::string op(request.at("op").as_string());
        ++operations[op];
        if (const json::value* key = request.if_contains("idempotency_key")) {
            const auto [known, is_new] = idempotency_keys.emplace(key->as_string(), line);
            if (!is_new) {
                if (!takes_repeats) throw std::runtime_error("a repeated key");
                if (known->second != line) throw std::runtime_error("a key with another request");
                ++repeats;
                return success;
            }
        }
        apply(op, request);
        return success;
    }

    void apply(const std::string& op, const json::object& request) {
        if (op == "system.ping") return;
        const std::string series(request.at("series").as_string());
        if (op == "counter.increment") {
            add(series, request.at("key"), request.if_contains("bucket"), request.at("value"));
        } else if (op == "series.batch_add") {
            for (const json::value& item : request.at("items").as_array()) {
                add(series, item.at(0), &item.at(1), item.at(2));
            }
        } else if (op == "counter.batch_sum") {
            for (const json::value& key : request.at("keys").as_array())
                static_cast<void>(key.to_number<unsigned>());
        } else if (op == "counter.sum") {
            static_cast<void>(request.at("key").to_number<unsigned>());
        } else {
            throw std::runtime_error("an operation that is not known");
        }
    }

    void add(const std::string& series, const json::value& key, const json::value* bucket,
             const json::value& value) {
        totals[{series, key.to_number<std::uint64_t>()}] += value.to_number<std::uint64_t>();
        if (bucket != nullptr) buckets.insert(json::serialize(*bucket));
    }

    std::uint64_t sum() const {
        std::uint64_t sum = 0;
        for (const auto& [name, total] : totals) sum += total;
        return sum;
    }
};

// For the server's thread: a line that was refused is an error reply that says so.
FakeServer::Answer answer_from(Counters& counters) {
    return [&counters](const std::string& line) -> std::optional<std::string> {
        try {
            return counters.answer(line);
        } catch (const std::exception& error) {
            return std::string("refused: ") + error.what() + ": " + line + "\r\n";
        }
    };
}

void check_good(const LoadResult& result, std::uint64_t requests) {
    CHECK(result.outcome.failure == "");
    CHECK(result.outcome.first_error == "");
    std::uint64_t counted = 0;
    for (const OperationCount& count : result.outcome.measured) {
        CHECK(count.latency_ns.count() == count.requests);
        counted += count.requests;
    }
    CHECK(counted == requests);
}

}  // namespace

TEST_CASE("each request is sent once and counted once") {
    for (const char* const in_flight : {"1", "7", "100"}) {
        for (const char* const threads : {"1", "3"}) {
            CAPTURE(in_flight);
            CAPTURE(threads);
            Counters counters;
            const FakeServer server(answer_from(counters));
            check_good(run(server, {"--requests=2000", "--connections=5", "--keys=10", "--in-flight",
                                    in_flight, "--threads", threads}),
                       2000);
            CHECK(counters.sum() == 2000);
            CHECK(counters.totals.size() == 10);
            CHECK(counters.buckets.size() == 1);
        }
    }
}

TEST_CASE("batches carry their items, over all days and series") {
    Counters counters;
    const FakeServer server(answer_from(counters));
    const LoadResult result =
        run(server, {"--requests=200", "--op=series.batch_add", "--items=50", "--days=3", "--keys=5",
                     "--series-count=4", "--series=a\"b", "--connections=2"});
    check_good(result, 200);
    CHECK(result.outcome.measured[0].items == 200 * 50);
    CHECK(counters.sum() == 200 * 50);
    CHECK(counters.totals.size() == 4 * 5);
    CHECK(counters.totals.begin()->first.first == "a\"b0");
    CHECK(counters.buckets.size() == 3);
}

TEST_CASE("large batches with many in flight") {
    Counters counters;
    const FakeServer server(answer_from(counters));
    const LoadResult result = run(server, {"--requests=60", "--op=series.batch_add", "--items=20000",
                                           "--in-flight=8", "--connections=2", "--keys=100"});
    check_good(result, 60);
    CHECK(counters.sum() == 60 * 20000);
}

TEST_CASE("a mix has both, and idempotency keys only in writes") {
    Counters counters;
    const FakeServer server(answer_from(counters));
    const LoadResult result =
        run(server, {"--requests=3000", "--mix=75:counter.sum,25:counter.increment", "--idempotency",
                     "--in-flight=4", "--threads=2", "--range-days=7"});
    check_good(result, 3000);
    CHECK(result.outcome.measured[0].requests + result.outcome.measured[1].requests == 3000);
    CHECK(result.outcome.measured[0].requests ==
          static_cast<std::uint64_t>(counters.operations["counter.sum"]));
    CHECK(counters.operations["counter.sum"] > counters.operations["counter.increment"]);
    CHECK(counters.operations["counter.increment"] > 500);
    CHECK(counters.idempotency_keys.size() ==
          static_cast<std::size_t>(counters.operations["counter.increment"]));
    CHECK(counters.members.count("range") == 1);
}

TEST_CASE("idempotency keys are fresh in every run, and no longer than those of other clients") {
    Counters counters;
    const FakeServer server(answer_from(counters));
    for (int i = 0; i < 3; ++i) {
        check_good(run(server, {"--requests=500", "--idempotency", "--threads=2", "--in-flight=3",
                                "--mix=1:counter.increment,1:series.batch_add", "--items=2"}),
                   500);
    }
    CHECK(counters.idempotency_keys.size() == 1500);
    for (const auto& entry : counters.idempotency_keys) {
        CAPTURE(entry.first);
        CHECK(entry.first.size() <= 24);
    }
}

TEST_CASE("repeats have the key and all else of a request before them, and are counted") {
    for (const char* const operation : {"counter.increment", "series.batch_add"}) {
        CAPTURE(operation);
        Counters counters;
        counters.takes_repeats = true;
        const FakeServer server(answer_from(counters));
        const LoadResult result =
            run(server, {"--requests=3000", "--op", operation, "--idempotency", "--items=3",
                         "--repeat-percent=30", "--connections=4", "--in-flight=5"});
        check_good(result, 3000);
        CHECK(counters.repeats > 500);
        CHECK(counters.repeats < 1500);
        CHECK(result.outcome.measured[0].repeats == counters.repeats);
        CHECK(report_json(parse({}), result).at("repeats") == counters.repeats);
        CHECK(counters.idempotency_keys.size() == 3000 - counters.repeats);
        const std::uint64_t items = operation == std::string("counter.increment") ? 1 : 3;
        CHECK(counters.sum() == items * counters.idempotency_keys.size());
    }
}

TEST_CASE("reads have no key, so none is repeated") {
    Counters counters;
    const FakeServer server(answer_from(counters));
    const LoadResult result =
        run(server, {"--requests=300", "--op=counter.sum", "--idempotency", "--repeat-percent=90"});
    check_good(result, 300);
    CHECK(result.outcome.measured[0].repeats == 0);
    CHECK(counters.idempotency_keys.empty());
}

TEST_CASE("replies that come in other groups than the requests went belong to the right ones") {
    constexpr int requests = 3000;
    Counters counters;
    int lines = 0;
    std::string held;
    // Every third reply waits for the next request, of which there is always one on its way.
    const FakeServer server([&](const std::string& line) {
        held += counters.answer(line);
        return ++lines % 3 == 0 && lines != requests ? "" : std::exchange(held, "");
    });
    const std::uint64_t begin_ns = now_ns();
    const LoadResult result =
        run(server, {"--requests=3000", "--connections=1", "--in-flight=5",
                     "--mix=1:counter.sum,1:counter.increment,1:series.batch_add", "--items=3"});
    check_good(result, requests);
    CHECK(result.outcome.measured[0].requests ==
          static_cast<std::uint64_t>(counters.operations["counter.sum"]));
    CHECK(result.outcome.measured[1].requests ==
          static_cast<std::uint64_t>(counters.operations["counter.increment"]));
    // No more than five were ever out at once, so all latencies together are at most five times the time that
    // it took.
    double all_latencies_ns = 0;
    for (const OperationCount& count : result.outcome.measured) {
        all_latencies_ns += count.latency_ns.mean() * static_cast<double>(count.requests);
    }
    CHECK(all_latencies_ns <= 5.0 * static_cast<double>(now_ns() - begin_ns));
    CHECK(result.outcome.measured[2].items ==
          3 * static_cast<std::uint64_t>(counters.operations["series.batch_add"]));
}

TEST_CASE("latency contains what the server takes") {
    constexpr int wait_ms = 20;
    Counters counters;
    const FakeServer server([&](const std::string& line) {
        std::this_thread::sleep_for(std::chrono::milliseconds(wait_ms));
        return counters.answer(line);
    });
    const LoadResult result = run(server, {"--requests=10", "--connections=1", "--in-flight=2"});
    check_good(result, 10);
    CHECK(result.outcome.measured[0].latency_ns.percentile(0) >= wait_ms * 1'000'000);
}

TEST_CASE("the token is in every request; without days there is no bucket") {
    Counters counters;
    const FakeServer server(answer_from(counters));
    check_good(run(server, {"--requests=20", "--connections=2", "--token=s\"ecret", "--days=0"}), 20);
    CHECK(counters.members == std::set<std::string>{"v", "op", "token", "series", "key", "value"});
}

TEST_CASE("the preload adds one to each day of each key, once") {
    Counters counters;
    const FakeServer server(answer_from(counters));
    const LoadResult result =
        run(server, {"--requests=10", "--op=counter.batch_sum", "--items=3", "--keys=101", "--series-count=2",
                     "--days=7", "--preload", "--preload-items=9"});
    check_good(result, 10);
    CHECK(result.preloaded == 2 * 101 * 7);
    CHECK(counters.totals.size() == 2 * 101);
    for (const auto& [name, total] : counters.totals) CHECK(total == 7);
    CHECK(counters.buckets.size() == 7);
}

TEST_CASE("a timed run ends by itself") {
    Counters counters;
    const FakeServer server(answer_from(counters));
    const LoadResult result = run(server, {"--seconds=0.2", "--warmup-seconds=0.1", "--connections=3"});
    CHECK(result.outcome.failure == "");
    CHECK(result.outcome.measured[0].requests > 0);
    CHECK(result.outcome.measured[0].requests <= counters.sum());
    CHECK(result.seconds == doctest::Approx(0.2));
}

TEST_CASE("error replies are counted and the first is kept") {
    std::atomic<int> lines = 0;
    const FakeServer server([&](const std::string&) -> std::optional<std::string> {
        if (++lines % 10 == 0)
            return "{\"protocol_version\":2,\"success\":false,\"number\":" + std::to_string(lines) + "}\r\n";
        return success;
    });
    const LoadResult result = run(server, {"--requests=100", "--connections=2"});
    CHECK(result.outcome.failure == "");
    CHECK(result.outcome.measured[0].requests == 100);
    CHECK(result.outcome.measured[0].errors == 10);
    CHECK(result.outcome.all_errors == 10);
    CHECK(result.outcome.first_error == "{\"protocol_version\":2,\"success\":false,\"number\":10}");
    const json::object report = report_json(parse({}), result);
    CHECK(report.at("errors") == 10);
    CHECK(report.at("first_error").as_string() == result.outcome.first_error);
}

TEST_CASE("a failing preload says what was answered") {
    const FakeServer server([](const std::string&) { return "no room\r\n"; });
    CHECK(run(server, {"--preload", "--keys=10"}).outcome.failure == "preload: no room");
}

TEST_CASE("a server that stops answering is reported") {
    std::atomic<int> lines = 0;
    const FakeServer server([&](const std::string&) { return ++lines > 50 ? "" : success; });
    const LoadResult result = run(server, {"--connections=3", "--in-flight=2", "--seconds=60",
                                           "--warmup-seconds=0", "--timeout-seconds=0.3"});
    CHECK(result.outcome.failure.find("no reply for 0.3 s") != std::string::npos);
    CHECK(result.outcome.failure.find("6 requests unanswered") != std::string::npos);
    CHECK(result.outcome.measured[0].requests == 50);
    CHECK(report_json(parse({}), result).at("failure").as_string() == result.outcome.failure);
}

TEST_CASE("a server that goes away is reported, by every thread in time") {
    std::atomic<int> lines = 0;
    const FakeServer server([&](const std::string&) -> std::optional<std::string> {
        if (++lines == 50) return std::nullopt;
        return success;
    });
    const LoadResult result = run(server, {"--connections=4", "--threads=2", "--seconds=60"});
    CHECK(result.outcome.failure.find("closed the connection") != std::string::npos);
}

TEST_CASE("a reply too many is reported") {
    const FakeServer server([](const std::string&) { return std::string(success) + success; });
    CHECK(run(server, {"--seconds=60", "--connections=1"}).outcome.failure.find("not asked for") !=
          std::string::npos);
}

TEST_CASE("no server at all is reported") {
    std::string port;
    {
        const FakeServer server([](const std::string&) { return ""; });
        port = std::to_string(server.port());
    }
    const LoadResult result = run_load(parse({"--port", port}));
    CHECK(result.outcome.failure.find("127.0.0.1:" + port) != std::string::npos);
}

TEST_CASE("redis: requests are arrays of strings with right lengths") {
    std::string received;
    // Each increment has seven lines; the last is the value.
    const FakeServer server([&](const std::string& line) {
        received += line + "\n";
        return line == "1\r" ? ":1\r\n" : "";
    });
    SUBCASE("INCRBY") {
        check_good(
            run(server, {"--protocol=redis", "--requests=1", "--connections=1", "--keys=1", "--series=s"}),
            1);
        CHECK(received == "*3\r\n$6\r\nINCRBY\r\n$3\r\ns:0\r\n$1\r\n1\r\n");
    }
    SUBCASE("HINCRBY") {
        check_good(
            run(server, {"--protocol=redis", "--op=HINCRBY", "--requests=1", "--connections=1", "--keys=1"}),
            1);
        CHECK(received == "*4\r\n$7\r\nHINCRBY\r\n$5\r\nlinks\r\n$1\r\n0\r\n$1\r\n1\r\n");
    }
}

TEST_CASE("redis: the password is given, and one that is wrong reported") {
    const FakeServer server([](const std::string& line) {
        if (line == "good\r") return "+OK\r\n";
        if (line == "bad\r") return "-ERR invalid password\r\n";
        return line == "PING\r" ? "+PONG\r\n" : "";
    });
    check_good(
        run(server, {"--protocol=redis", "--op=PING", "--requests=5", "--connections=2", "--token=good"}), 5);
    CHECK(run(server, {"--protocol=redis", "--op=PING", "--token=bad"}).outcome.failure ==
          "AUTH: -ERR invalid password");
}

TEST_CASE("split writes arrive whole") {
    Counters counters;
    const FakeServer server(answer_from(counters));
    check_good(run(server, {"--requests=20", "--connections=4", "--split-writes"}), 20);
    CHECK(counters.sum() == 20);
}

}  // namespace karma::perf
