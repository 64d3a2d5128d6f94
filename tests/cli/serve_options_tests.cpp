#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "cli/command_line.h"
#include "cli/serve_options.h"

namespace karma::cli {

namespace {

using Variables = std::map<std::string, std::string>;

ServeOptions read(const std::vector<std::string>& arguments, const Variables& variables = {}) {
    return read_serve_options(arguments, [&](const char* name) {
        const auto found = variables.find(name);
        return found == variables.end() ? nullptr : found->second.c_str();
    });
}

std::string refusal_of(const std::vector<std::string>& arguments) {
    try {
        read(arguments);
    } catch (const UsageError& wrong) {
        return wrong.what();
    }
    return {};
}

}  // namespace

TEST_CASE("serve options: of an option that is given twice the last one counts") {
    CHECK(read({"--port=1", "--bind=::1", "--port=2"}).server.port == 2);
    CHECK(read({"-p", "1", "--port", "2"}).server.port == 2);
    CHECK(read({"--port=2", "-p1"}).server.port == 1);
    CHECK(read({"--replication-token=a", "--replication-token=b"}).follower.token == "b");
    CHECK(read({"--port=none", "--port=2"}).server.port == 2);
    CHECK(refusal_of({"--port=2", "--port=none"}).find("--port") == 0);
}

TEST_CASE("serve options: 0 is no limit where Karma 1.0 takes it as none") {
    const ServeOptions options = read({"--read-timeout=0", "--write-timeout=0", "--wal-segment-bytes=0"});
    CHECK(options.server.read_timeout.count() == 0);
    CHECK(options.server.write_timeout.count() == 0);
    CHECK(options.database.wal_segment_bytes == 0);
    CHECK(refusal_of({"--wal-segment-bytes=1"}).find("or 0 for no limit") != std::string::npos);
}

TEST_CASE("serve options: the variable that Kubernetes sets for a Service called karma is ignored") {
    const ServeOptions options = read({}, {{"KARMA_PORT", "tcp://10.0.0.7:8080"}});
    CHECK(options.server.port == ServeOptions().server.port);
    REQUIRE(options.warnings.size() == 1);
    CHECK(options.warnings[0].find("KARMA_PORT=tcp://10.0.0.7:8080 is ignored") == 0);
    CHECK(read({"--port=7"}, {{"KARMA_PORT", "tcp://10.0.0.7:8080"}}).server.port == 7);
    CHECK(read({}, {{"KARMA_PORT", "9"}}).server.port == 9);
    CHECK_THROWS_AS(read({"--port=tcp://10.0.0.7:8080"}), UsageError);
}

TEST_CASE("serve options: follower is another word for slave") {
    CHECK(read({"--role=follower"}).database.read_only);
    CHECK(read({"--role=slave"}).database.read_only);
    CHECK_FALSE(read({"--role=master"}).database.read_only);
    CHECK_FALSE(refusal_of({"--role=boss"}).empty());
}

}  // namespace karma::cli
