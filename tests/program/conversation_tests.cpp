// The recorded conversations with the reference implementation, held with the daemon: as they are, and with
// the daemon killed and started again every few requests, which must not change a single reply.
#include <cstddef>
#include <string>

#include <doctest/doctest.h>

#include "tests/program/replay.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

void check(const ReplayResult& result) {
    CHECK(result.requests > 0);
    constexpr std::size_t shown = 5;
    for (std::size_t i = 0; i < result.differences.size() && i < shown; ++i)
        FAIL_CHECK(result.differences[i]);
    CHECK(result.differences.size() == 0);
}

void hold(const std::string& name, std::size_t crash_every) {
    check(replay(load_conversation(test_file("conformance/" + name + ".jsonl")), crash_every));
}

/// Conversations of protocol v1 count on the current day: one that a midnight falls into is held once more.
void hold_v1(const std::string& name, std::size_t crash_every) {
    std::string day;
    ReplayResult result;
    do {
        day = utc_day();
        Conversation conversation = load_conversation(test_file("conformance/v1/" + name + ".jsonl"), day);
        conversation.daemon_arguments.emplace_back("--protocol-v1=true");
        result = replay(conversation, crash_every);
    } while (utc_day() != day);
    check(result);
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

// NOLINTBEGIN(cppcoreguidelines-macro-usage): the same
#define V1_CONVERSATION(name)                                \
    TEST_CASE("conversation v1/" name) { hold_v1(name, 0); } \
    TEST_CASE("conversation v1/" name ", killed every 5 requests") { hold_v1(name, 5); }
// NOLINTEND(cppcoreguidelines-macro-usage)

V1_CONVERSATION("auth")
V1_CONVERSATION("basics")
V1_CONVERSATION("errors")
V1_CONVERSATION("maintenance")
V1_CONVERSATION("random-1")
V1_CONVERSATION("random-2")

}  // namespace karma::test
