#include <doctest/doctest.h>

#include "cli/unknown_variables.h"

namespace karma::cli {

TEST_CASE("unknown variables: a misspelt one is named, with the nearest, and without its value") {
    const char* const environment[] = {"PATH=/bin",
                                       "KARMA_AUTHTOKEN=secret",
                                       "KARMA_PORT=8080",
                                       "KARMA_AUTH_TOKEN=a",
                                       "KARMA_URL=unix:/x",
                                       "KARMA_TOKEN=",
                                       "KARMA_",
                                       "KARMAX=1",
                                       nullptr};
    const std::vector<std::string> warnings = unknown_variables(environment);
    REQUIRE(warnings.size() == 1);
    CHECK(warnings[0] ==
          "KARMA_AUTHTOKEN is set in the environment and has no effect: the nearest known one is "
          "KARMA_AUTH_TOKEN");
}

TEST_CASE("unknown variables: those that Kubernetes sets for Services are none") {
    const char* const environment[] = {"KARMA_SERVICE_HOST=10.0.0.7",
                                       "KARMA_SERVICE_PORT=8080",
                                       "KARMA_SERVICE_PORT_LINES=8080",
                                       "KARMA_PORT=tcp://10.0.0.7:8080",
                                       "KARMA_PORT_8080_TCP=tcp://10.0.0.7:8080",
                                       "KARMA_PORT_8080_TCP_ADDR=10.0.0.7",
                                       "KARMA_PORT_8080_TCP_PROTO=tcp",
                                       "KARMA_READ_SERVICE_HOST=10.0.0.8",
                                       "KARMA_READ_PORT=tcp://10.0.0.8:8080",
                                       nullptr};
    CHECK(unknown_variables(environment).empty());
    CHECK(unknown_variables(nullptr).empty());
}

}  // namespace karma::cli
