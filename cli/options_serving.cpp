#include <limits>

#include "cli/option_table.h"
#include "cli/option_values.h"

namespace karma::cli {

namespace {

std::vector<Option> request_options() {
    return {
        {.name = "max-request-bytes",
         .variable = "KARMA_MAX_REQUEST_BYTES",
         .argument = "BYTES",
         .value = whole_number(
             [](auto& o) -> auto& { return o.server.request_bytes_max; }, 1, 1ULL << 30U),
         .help = "longest request line, without its newline"},
        {.name = "unknown-fields",
         .variable = "KARMA_UNKNOWN_FIELDS",
         .argument = "WHAT",
         .value = choice(
             [](auto& o) -> auto& { return o.server.refuse_unknown_fields; }, "ignore or refuse",
             Words<bool>{{"ignore", false}, {"refuse", true}}),
         .help = "ignore fields of a request that its op does not take, or refuse the request"},
        {.name = "protocol-v1",
         .variable = "KARMA_PROTOCOL_V1",
         .argument = "BOOL",
         .value = boolean([](auto& o) -> auto& { return o.server.protocol_v1; }),
         .help = "accept requests of protocol v1 as well, on the same connections as those "
                 "of v2"},
        {.name = "max-response-bytes",
         .variable = "KARMA_MAX_RESPONSE_BYTES",
         .argument = "BYTES",
         .value = whole_number(
             [](auto& o) -> auto& { return o.server.response_bytes_max; }, 0, option_bytes_max),
         .help = "longest reply line, 0 for no limit"},
    };
}

std::vector<Option> budget_options() {
    return {
        {.name = "max-connections",
         .variable = "KARMA_MAX_CONNECTIONS",
         .argument = "N",
         .value = whole_number(
             [](auto& o) -> auto& { return o.server.connections_max; }, 1, 10'000'000),
         .help = "the most connections of clients at a time; never more than the limit of "
                 "open files leaves after storage, followers and an administrator have theirs",
         .default_text = "as many as that"},
        {.name = "max-reply-memory",
         .variable = "KARMA_MAX_REPLY_MEMORY",
         .argument = "BYTES",
         .value = whole_number(
             [](auto& o) -> auto& { return o.server.reply_memory_max; }, 0, option_bytes_max),
         .help = "memory for large replies that wait for their clients; beyond it large "
                 "replies are refused; 0 for no limit",
         .default_text = "a sixteenth of the memory"},
        {.name = "max-series",
         .variable = "KARMA_MAX_SERIES",
         .argument = "N",
         .value = whole_number(
             [](auto& o) -> auto& { return o.database.series_max; }, 0, option_bytes_max),
         .help = "the most series; a request that would make another one is refused; 0 for "
                 "no limit",
         .default_text = "one for each KiB of half of the memory"},
        {.name = "max-ingest-streams",
         .variable = "KARMA_MAX_INGEST_STREAMS",
         .argument = "N",
         .value = whole_number(
             [](auto& o) -> auto& { return o.database.streams_max; }, 0, option_bytes_max),
         .help = "the most ingest streams that are remembered; 8 chunks of a stream count as "
                 "one more. Further streams and chunks are refused; 0 for no limit",
         .default_text = "one for each 8 KiB of the memory"},
        {.name = "idempotency-max-records",
         .variable = "KARMA_IDEMPOTENCY_MAX_RECORDS",
         .argument = "N",
         .value = whole_number(
             [](auto& o) -> auto& { return o.database.idempotency.records_max; }, 1, 1ULL << 31U),
         .help = "the most idempotency records that are kept; the oldest are forgotten"},
        {.name = "idempotency-max-age-seconds",
         .variable = "KARMA_IDEMPOTENCY_MAX_AGE_SECONDS",
         .argument = "SECONDS",
         .value = whole_number(
             [](auto& o) -> auto& { return o.database.idempotency.age_max_s; }, 0,
             std::numeric_limits<std::uint32_t>::max()),
         .help = "how long idempotency records are kept, 0 for no limit by age"},
    };
}

std::vector<Option> timeout_options() {
    return {
        {.name = "read-timeout",
         .variable = "KARMA_READ_TIMEOUT_SECONDS",
         .argument = "SECONDS",
         .value = seconds(
             [](auto& o) -> auto& { return o.server.read_timeout; }, true),
         .help = "a connection that has begun a request and not completed it within this "
                 "time is closed; 0 for no limit"},
        {.name = "write-timeout",
         .variable = "KARMA_WRITE_TIMEOUT_SECONDS",
         .argument = "SECONDS",
         .value = seconds(
             [](auto& o) -> auto& { return o.server.write_timeout; }, true),
         .help = "a connection that takes nothing of its replies for this time is closed; 0 "
                 "for no limit"},
        {.name = "idle-timeout",
         .variable = "KARMA_IDLE_TIMEOUT",
         .argument = "SECONDS",
         .value = seconds(
             [](auto& o) -> auto& { return o.server.idle_timeout; }, true),
         .help = "a connection that sends no request for this time, and waits for no reply, "
                 "is closed; 0 for never"},
        {.name = "query-timeout-ms",
         .variable = "KARMA_QUERY_TIMEOUT_MS",
         .argument = "MS",
         .value = whole_number(
             [](auto& o) -> auto& { return o.server.query_timeout; }, 0,
             std::numeric_limits<std::uint32_t>::max()),
         .help = "longest time for a read of a whole series or of events, from when the "
                 "request was received; 0 for no limit. Administrative ops such as "
                 "snapshot.verify have no such limit"},
        {.name = "shutdown-timeout",
         .variable = "KARMA_SHUTDOWN_TIMEOUT_SECONDS",
         .argument = "SECONDS",
         .value = seconds([](auto& o) -> auto& { return o.server.shutdown_timeout; }),
         .help = "time to finish what was received before SIGINT or SIGTERM"},
    };
}

OptionSection limits_section() {
    OptionSection section{"Limits and timeouts", "limits", request_options()};
    for (const auto& part : {budget_options(), timeout_options()}) {
        section.options.insert(section.options.end(), part.begin(), part.end());
    }
    return section;
}

OptionSection access_section() {
    return {"Access",
            "access",
            {
                {.name = "auth-token",
                 .variable = "KARMA_AUTH_TOKEN",
                 .argument = "TOKEN",
                 .value = token(
                     [](auto& o) -> auto& { return o.server.auth_token; },
                     [](auto& o) -> auto& { return o.token_files.all; }),
                 .help = "token that allows everything",
                 .is_secret = true,
                 .is_reloaded = true},
                {.name = "auth-token-file",
                 .variable = "KARMA_AUTH_TOKEN_FILE",
                 .argument = "FILE",
                 .value = text(
                     [](auto& o) -> auto& { return o.token_files.all; }, "the name of a file"),
                 .help = "the same from a file; a newline at its end is cut; read again on SIGHUP",
                 .is_reloaded = true},
                {.name = "read-auth-token",
                 .variable = "KARMA_READ_AUTH_TOKEN",
                 .argument = "TOKEN",
                 .value = token(
                     [](auto& o) -> auto& { return o.server.read_auth_token; },
                     [](auto& o) -> auto& { return o.token_files.read; }),
                 .help = "token that allows reading",
                 .is_secret = true,
                 .is_reloaded = true},
                {.name = "read-auth-token-file",
                 .variable = "KARMA_READ_AUTH_TOKEN_FILE",
                 .argument = "FILE",
                 .value = text(
                     [](auto& o) -> auto& { return o.token_files.read; }, "the name of a file"),
                 .help = "the same from a file; read again on SIGHUP",
                 .is_reloaded = true},
                {.name = "group-access",
                 .variable = "KARMA_GROUP_ACCESS",
                 .argument = "BOOL",
                 .value = boolean([](auto& o) -> auto& { return o.group_access; }),
                 .help = "let the group of the daemon read the files that the daemon writes"},
            }};
}

}  // namespace

std::vector<OptionSection> serving_option_sections() { return {limits_section(), access_section()}; }

}  // namespace karma::cli
