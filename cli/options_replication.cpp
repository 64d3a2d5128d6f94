#include <algorithm>
#include <limits>

#include "cli/option_table.h"
#include "cli/option_values.h"

namespace karma::cli {

namespace {

constexpr std::uint64_t day_ms = 86'400'000;

bool is_order(const std::string& text) {
    constexpr std::size_t bytes_max = 128;
    return text.size() <= bytes_max && std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

/// An order, or a word for none.
OptionValue discard_order() {
    OptionValue value = text(
        [](auto& o) -> auto& { return o.follower.discard_order; },
        "a text of at most 128 printable characters without spaces, such as order-1", is_order);
    value.set = [set = value.set](ServeOptions& o, const std::string& given, const std::string& source) {
        const bool is_none = given == "false" || given == "0" || given == "no" || given == "off";
        set(o, is_none ? std::string() : given, source);
    };
    return value;
}

std::vector<Option> source_options() {
    return {
        {.name = "replication-source-host",
         .variable = "KARMA_REPLICATION_SOURCE_HOST",
         .argument = "HOST",
         .value = text(
             [](auto& o) -> auto& { return o.follower.host; }, "the name or address of a host",
             [](const std::string& /*any*/) { return true; }),
         .help = "the master, or another node that follows it"},
        {.name = "replication-source-port",
         .variable = "KARMA_REPLICATION_SOURCE_PORT",
         .argument = "PORT",
         .value = whole_number(
             [](auto& o) -> auto& { return o.follower.port; }, 1, 65'535),
         .help = "port of the source"},
        {.name = "replication-token",
         .variable = "KARMA_REPLICATION_TOKEN",
         .argument = "TOKEN",
         .value = token(
             [](auto& o) -> auto& { return o.follower.token; },
             [](auto& o) -> auto& { return o.token_files.replication; }),
         .help = "token for the master: its --auth-token",
         .is_secret = true},
        {.name = "replication-token-file",
         .variable = "KARMA_REPLICATION_TOKEN_FILE",
         .argument = "FILE",
         .value = text(
             [](auto& o) -> auto& { return o.token_files.replication; }, "the name of a file"),
         .help = "the same from a file"},
        {.name = "replication-tls",
         .variable = "KARMA_REPLICATION_TLS",
         .argument = "BOOL",
         .value = boolean([](auto& o) -> auto& { return o.replication_tls; }),
         .help = "connect to the source, and to every other node, over TLS: "
                 "--replication-source-port is the port of its karmas:// listener. This node "
                 "needs such a listener, too, to which others connect"},
        {.name = "replication-tls-ca",
         .variable = "KARMA_REPLICATION_TLS_CA",
         .argument = "FILE",
         .value = text(
             [](auto& o) -> auto& { return o.replication_tls_files.authorities; }, "the name of a PEM file"),
         .help = "authorities, one of which must have signed the other node's certificate",
         .default_text = "those of the system"},
        {.name = "replication-tls-cert",
         .variable = "KARMA_REPLICATION_TLS_CERT",
         .argument = "FILE",
         .value = text(
             [](auto& o) -> auto& { return o.replication_tls_files.certificate; }, "the name of a PEM file"),
         .help = "certificate that this node shows when the other node asks for one "
                 "(--tls-ca)"},
        {.name = "replication-tls-key",
         .variable = "KARMA_REPLICATION_TLS_KEY",
         .argument = "FILE",
         .value = text(
             [](auto& o) -> auto& { return o.replication_tls_files.key; }, "the name of a PEM file"),
         .help = "private key of that certificate"},
        {.name = "replication-name",
         .variable = "KARMA_REPLICATION_NAME",
         .argument = "NAME",
         .value = text(
             [](auto& o) -> auto& { return o.follower.name; }, "a name of 1 to 200 bytes",
             [](const std::string& name) { return !name.empty() && name.size() <= 200; }),
         .help = "name of this node for its source; each follower of a node needs another one",
         .default_text = "host name and port"},
        {.name = "replication-poll-interval-ms",
         .variable = "KARMA_REPLICATION_POLL_INTERVAL_MS",
         .argument = "MS",
         .value = whole_number(
             [](auto& o) -> auto& { return o.follower.poll_interval; }, 1,
             std::numeric_limits<std::uint32_t>::max()),
         .help = "with a Karma 1.0 master, which only answers polls: time between polls"},
        {.name = "replication-batch-size",
         .variable = "KARMA_REPLICATION_BATCH_SIZE",
         .argument = "N",
         .value = whole_number(
             [](auto& o) -> auto& { return o.follower.batch_size; }, 1, 10'000),
         .help = "events in such a poll"},
    };
}

std::vector<Option> takeover_options() {
    return {
        {.name = "replication-discard-diverged",
         .variable = "KARMA_REPLICATION_DISCARD_DIVERGED",
         .argument = "ORDER",
         .value = discard_order(),
         .help = "order, for one use, to give up the data of this node when nothing proves "
                 "that the master has it: the data is moved aside, and its events are "
                 "written to a file. ORDER is any text; false: none",
         .default_text = "false"},
        {.name = "failover-timeout-ms",
         .variable = "KARMA_FAILOVER_TIMEOUT_MS",
         .argument = "MS",
         .value = whole_number(
             [](auto& o) -> auto& { return o.follower.failover_timeout; }, 0,
             std::numeric_limits<std::uint32_t>::max()),
         .help = "this node promotes itself when the master was silent for this time, if the "
                 "node was in sync until then and enough other followers promise "
                 "(docs/replication.md); 0 for never"},
        {.name = "failover-unsafe",
         .variable = "KARMA_FAILOVER_UNSAFE",
         .argument = "BOOL",
         .value = boolean([](auto& o) -> auto& { return o.failover_unsafe; }),
         .help = "promote this node without the promises of followers that do not answer: a "
                 "master that is only cut off goes on, and writes that it acknowledges then "
                 "are lost"},
    };
}

OptionSection following_section() {
    OptionSection section{"Following a master (with --role=slave)", "replication", source_options()};
    const std::vector<Option> takeover = takeover_options();
    section.options.insert(section.options.end(), takeover.begin(), takeover.end());
    return section;
}

OptionSection followers_section() {
    return {
        "Being followed",
        "replication",
        {
            {.name = "replication-min-acks",
             .variable = "KARMA_REPLICATION_MIN_ACKS",
             .argument = "N",
             .value = whole_number(
                 [](auto& o) -> auto& { return o.database.replication_min_acks; }, 0, 64),
             .help = "a write is acknowledged when this many followers have it on disk, too"},
            {.name = "replication-ack-timeout-ms",
             .variable = "KARMA_REPLICATION_ACK_TIMEOUT_MS",
             .argument = "MS",
             .value = whole_number(
                 [](auto& o) -> auto& { return o.database.replication_ack_timeout_ms; }, 1, day_ms),
             .help = "how long a write waits for them before the reply is replication_error"},
            {.name = "replication-followers-max",
             .variable = "KARMA_REPLICATION_FOLLOWERS_MAX",
             .argument = "N",
             .value = whole_number(
                 [](auto& o) -> auto& { return o.source.followers_max; }, 1, 1'000),
             .help = "the most followers at a time; each takes two open files, and all of them take at most "
                     "an eighth of the limit (ulimit -n)"},
            {.name = "replication-timeout-ms",
             .variable = "KARMA_REPLICATION_TIMEOUT_MS",
             .argument = "MS",
             .value = whole_number(
                 [](auto& o) -> auto& { return o.source.timeout; }, 100, day_ms),
             .help = "a follower that takes nothing for this time is dropped; a follower "
                     "connects again to a source that is silent for this time"},
            {.name = "replication-digest-interval-seconds",
             .variable = "KARMA_REPLICATION_DIGEST_INTERVAL_SECONDS",
             .argument = "SECONDS",
             .value = whole_number(
                 [](auto& o) -> auto& { return o.source.digest_interval; }, 0, option_seconds_max),
             .help = "time between comparisons of the states of this node and its followers, by "
                     "digests; 0 for never"},
        }};
}

}  // namespace

std::vector<OptionSection> replication_option_sections() {
    return {following_section(), followers_section()};
}

}  // namespace karma::cli
