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

// A conversation that waits for ops still to be written is skipped, and counted as skipped in doctest's
// summary.
constexpr bool ready = false;
constexpr bool pending = true;

}  // namespace

// NOLINTBEGIN(cppcoreguidelines-macro-usage): a doctest case needs a macro, and its name a literal
#define CONVERSATION(name, skipped)                                                         \
    TEST_CASE("conversation " name* doctest::skip(skipped)) { hold(name, 0); }              \
    TEST_CASE("conversation " name ", killed every 20 requests" * doctest::skip(skipped)) { \
        hold(name, 20);                                                                     \
    }                                                                                       \
    TEST_CASE("conversation " name ", killed every 7 requests" * doctest::skip(skipped)) { hold(name, 7); }
// NOLINTEND(cppcoreguidelines-macro-usage)

CONVERSATION("basics", ready)
CONVERSATION("batches", ready)
CONVERSATION("retention", ready)
CONVERSATION("errors", ready)
CONVERSATION("auth", ready)
CONVERSATION("auth-read-only", ready)
CONVERSATION("limits", ready)

CONVERSATION("event-log", pending)
CONVERSATION("idempotency", pending)
CONVERSATION("ingest", pending)
CONVERSATION("ingest-restart", pending)
CONVERSATION("random-1", pending)
CONVERSATION("random-2", pending)
CONVERSATION("random-3", pending)
CONVERSATION("recovery", ready)
CONVERSATION("slave-role", pending)
CONVERSATION("snapshots", pending)

}  // namespace karma::test
