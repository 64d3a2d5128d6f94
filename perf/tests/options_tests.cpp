#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "perf/load/options.h"
#include "perf/tests/parse.h"

namespace karma::perf {

namespace {

// What is said about the arguments; empty when they are accepted.
std::string complaint(const std::vector<std::string>& arguments) {
    try {
        parse(arguments);
        return "";
    } catch (const UsageError& error) {
        return error.what();
    }
}

}  // namespace

TEST_CASE("nothing given") {
    const LoadOptions options = parse({});
    CHECK(options.port == 8080);
    CHECK(options.seconds == 3);
    CHECK(options.warmup_seconds == 0.5);
    CHECK(mix_text(options.mix) == "counter.increment");
    CHECK(mix_text(parse({"--protocol=redis"}).mix) == "INCRBY");
    CHECK(!options.zipf_skew);
}

TEST_CASE("a number of requests changes what time means") {
    CHECK(parse({"--requests=10"}).seconds == 60);
    CHECK(parse({"--requests=10"}).warmup_seconds == 0);
    CHECK(parse({"--requests=10", "--seconds=1.5"}).seconds == 1.5);
}

TEST_CASE("operations and mixes") {
    CHECK(mix_text(parse({"--protocol=redis", "--op=hincrby"}).mix) == "HINCRBY");
    CHECK(mix_text(parse({"--mix=80:counter.sum,20:counter.increment"}).mix) ==
          "80:counter.sum,20:counter.increment");
    CHECK(parse({"--distribution=zipf"}).zipf_skew == 0.99);
    CHECK(parse({"--distribution=zipf:1.25"}).zipf_skew == 1.25);
}

TEST_CASE("a bad value names its option") {
    const std::vector<std::vector<std::string>> wrong = {{"--port", "70000"},
                                                         {"--port", "-1"},
                                                         {"--connections", "0"},
                                                         {"--in-flight", "x"},
                                                         {"--in-flight", "1x"},
                                                         {"--seconds", "0"},
                                                         {"--seconds", "-2"},
                                                         {"--seconds", "nan"},
                                                         {"--protocol", "http"},
                                                         {"--op", "counter.cube"},
                                                         {"--mix", "sum"},
                                                         {"--mix", "1:cube"},
                                                         {"--mix", "0:counter.sum"},
                                                         {"--distribution", "bell"},
                                                         {"--distribution", "zipf:-1"},
                                                         {"--keys", "0"},
                                                         {"--requests", "-5"},
                                                         {"--repeat-percent", "101"},
                                                         {"--repeat-percent", "-1"},
                                                         {"--host", ""},
                                                         {"--series", ""},
                                                         {"--unknown", "1"},
                                                         {"--timeout-seconds", "0"}};
    for (const std::vector<std::string>& arguments : wrong) {
        CAPTURE(arguments[0]);
        CAPTURE(arguments[1]);
        CHECK(complaint(arguments).find(arguments[0].substr(2)) != std::string::npos);
    }
}

TEST_CASE("what does not go together") {
    CHECK(complaint({"--op=counter.sum", "--mix=1:counter.sum"}).find("--mix") != std::string::npos);
    CHECK(complaint({"--protocol=redis", "--idempotency"}).find("--idempotency") != std::string::npos);
    CHECK(complaint({"--repeat-percent=5"}).find("--repeat-percent") != std::string::npos);
    CHECK(complaint({"--repeat-percent=5", "--idempotency"}) == "");
    CHECK(complaint({"--threads=3", "--connections=2"}).find("--threads") != std::string::npos);
    CHECK(complaint({"stray"}).find("positional") != std::string::npos);
}

TEST_CASE("help") {
    CHECK(parse({"--help"}).asks_for_help);
    CHECK(describe_options().find("counter.batch_sum") != std::string::npos);
}

}  // namespace karma::perf
