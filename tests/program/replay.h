#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/json.h"

// Replays the recorded conversations of tests/conformance against a daemon.
namespace karma::test {

enum class Match { exact, code, superset, sorted, skip };

// One line of a conversation: a request with the reply that is wanted, or (restart_signal != 0) a restart.
struct Step {
    std::size_t line_number = 0;
    int restart_signal = 0;
    std::string send;
    json::value reply;
    Match match = Match::exact;
    std::vector<std::string> ignore;
};

struct Conversation {
    std::string name;
    std::vector<std::string> daemon_arguments;
    std::vector<Step> steps;
};

// The current UTC day, YYYYMMDD.
std::string utc_day();

// "$TODAY" in the file stands for `day`. Throws std::runtime_error naming the file and line that it cannot
// read.
Conversation load_conversation(const std::filesystem::path& file, const std::string& day = utc_day());

// Why the reply is not what the step wants; empty when it is.
std::string difference(const Step& step, const json::value& reply);

struct ReplayResult {
    std::size_t requests = 0;
    // One for each reply that differs, with file, line and request.
    std::vector<std::string> differences;
};

// Holds the conversation with a new daemon. crash_every > 0: kills it with SIGKILL and starts it again after
// every so many requests, which no reply may show. Throws what Daemon and Client throw when the conversation
// cannot go on.
ReplayResult replay(const Conversation& conversation, std::size_t crash_every);

}  // namespace karma::test
