// The daemon lives whatever its clients take: descriptors, series.
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>

#include "tests/support/comes_true.h"
#include "tests/support/daemon.h"

namespace karma::test {

TEST_CASE("budgets: clients that hold all connections do not keep the log from being written") {
    DaemonOptions options;
    options.arguments = {"--wal-segment-bytes=65536"};  // new files all the time
    options.open_files = 64;
    options.open_files_hard = true;
    Daemon daemon(options);
    Client writer = daemon.connect();
    std::vector<Client> idle;
    for (int i = 0; i < 100; ++i) {
        idle.push_back(daemon.connect());
    }
    const std::string long_name(2'000, 'x');
    for (int i = 0; i < 500; ++i) {
        writer.call("counter.increment", {{"series", long_name + std::to_string(i % 50)}, {"key", i}});
    }
    writer.call("snapshot.create_all");
    writer.call("counter.increment", {{"series", "a"}, {"key", 1}});
    idle.clear();
    const bool serves = comes_true([&] {
        try {
            Client client = daemon.connect();
            return client.error_of("system.ping").empty();
        } catch (const ConnectionClosed&) {
            return false;  // it has not seen yet that the others are gone
        }
    });
    CHECK(serves);
    CHECK(std::string(writer.call("system.health").at("status").as_string()) == "ok");
}

TEST_CASE("budgets: followers take no files that the log needs") {
    DaemonOptions options;
    options.arguments = {"--wal-segment-bytes=65536", "--wal-fsync=false"};  // new files all the time
    options.open_files = 64;
    options.open_files_hard = true;
    Daemon daemon(options);
    Client writer = daemon.connect();
    std::vector<Client> followers;
    std::size_t refused = 0;
    for (int i = 0; i < 40; ++i) {
        Client follower = daemon.connect();
        const json::object subscribe{{"v", 2},
                                     {"op", "replication.subscribe"},
                                     {"format", 2},
                                     {"name", "follower-" + std::to_string(i)},
                                     {"after_lsn", 0},
                                     {"checksum", 0},
                                     {"epochs", json::array()},
                                     {"heartbeat_ms", 1000},
                                     {"empty", 1}};
        follower.send_line(json::serialize(subscribe));
        refused += follower.receive().at("success").as_bool() ? 0 : 1;
        followers.push_back(std::move(follower));
    }
    CHECK(refused > 0);
    CHECK(refused < 40);
    const std::string long_name(2'000, 'x');
    for (int i = 0; i < 500; ++i) {
        writer.call("counter.increment", {{"series", long_name + std::to_string(i % 50)}, {"key", i}});
    }
    CHECK(std::string(writer.call("system.health").at("status").as_string()) == "ok");
}

TEST_CASE("budgets: a new series is refused where there are as many as may be") {
    Daemon daemon({"--max-series=3"});
    Client client = daemon.connect();
    for (const char* const name : {"a", "b", "c"}) {
        client.call("counter.increment", {{"series", name}, {"key", 1}});
    }
    CHECK(client.error_of("counter.increment", {{"series", "d"}, {"key", 1}}) == "resource_exhausted");
    CHECK(client.error_of("tree.create", {{"series", "d"}}) == "resource_exhausted");
    CHECK(client.error_of("counter.increment", {{"series", "a"}, {"key", 1}}).empty());
    client.call("tree.drop", {{"series", "b"}});
    CHECK(client.error_of("tree.create", {{"series", "d"}}).empty());
}

TEST_CASE("budgets: what is remembered of ingest streams is bounded, and what is sent again counts once") {
    const auto chunk = [](const char* stream, int number) {
        return json::object{{"stream_id", stream},
                            {"series", "a"},
                            {"chunk_seq", number},
                            {"items", json::array{json::array{1, 20260505, number}}}};
    };
    Daemon daemon({"--max-ingest-streams=4"});
    {
        Client client = daemon.connect();
        for (const char* const stream : {"first", "second"}) {
            client.call("ingest.begin", {{"stream_id", stream}, {"mode", "add"}});
            for (int number = 1; number <= 6; ++number) client.call("ingest.chunk", chunk(stream, number));
            client.call("ingest.commit", {{"stream_id", stream}});
        }
        // Two streams, and one more for 8 of their chunks.
        client.call("ingest.begin", {{"stream_id", "third"}, {"mode", "add"}});
        CHECK(client.error_of("ingest.begin", {{"stream_id", "fourth"}, {"mode", "add"}}) ==
              "resource_exhausted");
        CHECK(client.error_of("ingest.chunk", chunk("third", 1)) == "resource_exhausted");
        CHECK(client.error_of("ingest.chunk", chunk("first", 1)).empty());
        CHECK(client.error_of("ingest.begin", {{"stream_id", "first"}, {"mode", "add"}}).empty());
        CHECK(as_number(client.call("counter.sum", {{"series", "a"}, {"key", 1}})) == 42);
        // A load is a stream, and is forgotten at its end.
        client.call("snapshot.create", {{"series", "a"}});
        const json::value files = client.call("snapshot.list");
        CHECK(client.error_of("snapshot.load", {{"file", files.as_array().at(0)}}).empty());
        client.call("ingest.abort", {{"stream_id", "third"}});
        CHECK(client.error_of("ingest.begin", {{"stream_id", "fourth"}, {"mode", "add"}}).empty());
    }
    daemon.stop();
    daemon.start();
    Client client = daemon.connect();
    CHECK(client.error_of("ingest.begin", {{"stream_id", "fifth"}, {"mode", "add"}}) == "resource_exhausted");
    CHECK(client.error_of("ingest.chunk", chunk("second", 6)).empty());
    // Until those that nobody sends again are pruned.
    const json::object prune{{"before", "2100-01-01"}, {"limit", 1}};
    CHECK(as_number(member(client.call("ingest.prune", prune), "deleted")) == 1);
    CHECK(client.error_of("ingest.chunk", chunk("first", 1)) == "not_found");
    CHECK(client.error_of("ingest.chunk", chunk("second", 6)).empty());
    CHECK(client.error_of("ingest.begin", {{"stream_id", "fifth"}, {"mode", "add"}}).empty());
    CHECK(as_number(client.call("counter.sum", {{"series", "a"}, {"key", 1}})) == 42);
}

}  // namespace karma::test
