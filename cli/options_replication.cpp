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
         .help = "the master"},
        {.name = "replication-source-port",
         .variable = "KARMA_REPLICATION_SOURCE_PORT",
         .argument = "PORT",
         .value = whole_number(
             [](auto& o) -> auto& { return o.follower.port; }, 1, 65'535),
         .help = "its port"},
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
         .help = "reach the master, and every other node, over TLS: --replication-source-port is that of its "
                 "karmas:// listener, and this node needs one too, for others to reach it"},
        {.name = "replication-tls-ca",
         .variable = "KARMA_REPLICATION_TLS_CA",
         .argument = "FILE",
         .value = text(
             [](auto& o) -> auto& { return o.replication_tls_files.authorities; }, "the name of a PEM file"),
         .help = "authorities, one of which has to have signed the certificate of the other node",
         .default_text = "those of the system"},
        {.name = "replication-tls-cert",
         .variable = "KARMA_REPLICATION_TLS_CERT",
         .argument = "FILE",
         .value = text(
             [](auto& o) -> auto& { return o.replication_tls_files.certificate; }, "the name of a PEM file"),
         .help = "certificate that this node shows, where the other node asks for one (--tls-ca)"},
        {.name = "replication-tls-key",
         .variable = "KARMA_REPLICATION_TLS_KEY",
         .argument = "FILE",
         .value = text(
             [](auto& o) -> auto& { return o.replication_tls_files.key; }, "the name of a PEM file"),
         .help = "its private key"},
        {.name = "replication-name",
         .variable = "KARMA_REPLICATION_NAME",
         .argument = "NAME",
         .value = text(
             [](auto& o) -> auto& { return o.follower.name; }, "a name of 1 to 200 bytes",
             [](const std::string& name) { return !name.empty() && name.size() <= 200; }),
         .help = "what the master calls this node: another name for each of its followers",
         .default_text = "host name and port"},
        {.name = "replication-poll-interval-ms",
         .variable = "KARMA_REPLICATION_POLL_INTERVAL_MS",
         .argument = "MS",
         .value = whole_number(
             [](auto& o) -> auto& { return o.follower.poll_interval; }, 1,
             std::numeric_limits<std::uint32_t>::max()),
         .help = "how often to ask a master that only answers polls: Karma 1.0"},
        {.name = "replication-batch-size",
         .variable = "KARMA_REPLICATION_BATCH_SIZE",
         .argument = "N",
         .value = whole_number(
             [](auto& o) -> auto& { return o.follower.batch_size; }, 1, 10'000),
         .help = "events to ask it for at a time, 1 to 10000"},
    };
}

std::vector<Option> takeover_options() {
    return {
        {.name = "replication-discard-diverged",
         .variable = "KARMA_REPLICATION_DISCARD_DIVERGED",
         .argument = "ORDER",
         .value = discard_order(),
         .help = "once, to give up what this node has where nothing proves that the master has it: it is "
                 "moved aside, and its events are written into a file. ORDER is any text, and counts for one "
                 "use; false: none",
         .default_text = "false"},
        {.name = "failover-timeout-ms",
         .variable = "KARMA_FAILOVER_TIMEOUT_MS",
         .argument = "MS",
         .value = whole_number(
             [](auto& o) -> auto& { return o.follower.failover_timeout; }, 0,
             std::numeric_limits<std::uint32_t>::max()),
         .help = "promote itself when the master was silent for so long, this node was in sync until then, "
                 "and the master cannot acknowledge without it (--replication-min-acks there) or another "
                 "follower has not heard it either; 0 for never"},
        {.name = "failover-unsafe",
         .variable = "KARMA_FAILOVER_UNSAFE",
         .argument = "BOOL",
         .value = boolean([](auto& o) -> auto& { return o.failover_unsafe; }),
         .help = "promote itself without that: a master that is only cut off goes on, and what it "
                 "acknowledges then is lost"},
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
             .help = "a write is acknowledged when so many followers have it on disk as well"},
            {.name = "replication-ack-timeout-ms",
             .variable = "KARMA_REPLICATION_ACK_TIMEOUT_MS",
             .argument = "MS",
             .value = whole_number(
                 [](auto& o) -> auto& { return o.database.replication_ack_timeout_ms; }, 1, day_ms),
             .help = "how long it waits for them before the answer is replication_error"},
            {.name = "replication-followers-max",
             .variable = "KARMA_REPLICATION_FOLLOWERS_MAX",
             .argument = "N",
             .value = whole_number(
                 [](auto& o) -> auto& { return o.source.followers_max; }, 1, 1'000),
             .help = "followers at a time"},
            {.name = "replication-timeout-ms",
             .variable = "KARMA_REPLICATION_TIMEOUT_MS",
             .argument = "MS",
             .value = whole_number(
                 [](auto& o) -> auto& { return o.source.timeout; }, 100, day_ms),
             .help = "a follower that takes nothing for so long is dropped, a master that is silent for so "
                     "long is connected to again"},
            {.name = "replication-digest-interval-seconds",
             .variable = "KARMA_REPLICATION_DIGEST_INTERVAL_SECONDS",
             .argument = "SECONDS",
             .value = whole_number(
                 [](auto& o) -> auto& { return o.source.digest_interval; }, 0, option_seconds_max),
             .help = "how often followers prove that their state is the same; 0 for never"},
        }};
}

}  // namespace

std::vector<OptionSection> replication_option_sections() {
    return {following_section(), followers_section()};
}

}  // namespace karma::cli
