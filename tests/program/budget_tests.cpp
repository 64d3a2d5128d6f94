// The daemon lives whatever its clients take: descriptors, series.
#include <optional>
#include <string>
#include <system_error>
#include <vector>

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

}  // namespace karma::test
