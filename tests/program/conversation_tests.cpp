// The recorded conversations with the reference implementation, held with the daemon: as they are, and with
// the daemon killed and started again every few requests, which must not change a single reply.
#include <cstddef>
#include <string>

#include <doctest/doctest.h>

#include "tests/program/replay.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

void hold(const std::string& name, std::size_t crash_every) {
    const ReplayResult result =
        replay(load_conversation(test_file("conformance/" + name + ".jsonl")), crash_every);
    CHECK(result.requests > 0);
    constexpr std::size_t shown = 5;
    for (std::size_t i = 0; i < result.differences.size() && i < shown; ++i)
        FAIL_CHECK(result.differences[i]);
    CHECK(result.differences.size() == 0);
}

}  // namespace

// NOLINTBEGIN(cppcoreguidelines-macro-usage): a doctest case needs a macro, and its name a literal
#define CONVERSATION(name)                                                           \
    TEST_CASE("conversation " name) { hold(name, 0); }                               \
    TEST_CASE("conversation " name ", killed every 20 requests") { hold(name, 20); } \
    TEST_CASE("conversation " name ", killed every 7 requests") { hold(name, 7); }
// NOLINTEND(cppcoreguidelines-macro-usage)

CONVERSATION("basics")
CONVERSATION("batches")
CONVERSATION("retention")
CONVERSATION("errors")
CONVERSATION("auth")
CONVERSATION("auth-read-only")
CONVERSATION("limits")

CONVERSATION("event-log")
CONVERSATION("idempotency")
CONVERSATION("ingest")
CONVERSATION("ingest-restart")
CONVERSATION("random-1")
CONVERSATION("random-2")
CONVERSATION("random-3")
CONVERSATION("recovery")
CONVERSATION("slave-role")
CONVERSATION("snapshots")

}  // namespace karma::test
