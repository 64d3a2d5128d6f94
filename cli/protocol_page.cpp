#include <ostream>
#include <string>

#include "cli/op_text.h"
#include "net/op_fields.h"
#include "net/op_table.h"

// docs/protocol.md: what holds for every op, then the ops as their descriptions tell them.

namespace karma::cli {
namespace {

constexpr const char* page_introduction = R"(# Protocol

The protocol that clients of Karma speak, version 2: requests and replies are JSON, one on each line. This page is
generated from the descriptions that the daemon itself uses: `karma call --ops=markdown` prints it, `karma call --ops`
lists the ops, and `karma call OP --help` explains one of them. The older version 1 is in [protocol-v1.md](protocol-v1.md).

In an example a request is followed by its reply, except where the reply does not matter. "…" stands for what differs from
run to run: for a value, for a part of a text, for further elements of an array or members of an object; in a request, for
what a reply above it has there. A test sends the examples of this page to one new daemon, from the first to the last.

## Connections

A client connects over TCP, TLS or a Unix socket ([configuration.md](configuration.md): `--port`, `--listen`). It sends requests: each
is one JSON object in UTF-8 and `\n`. Each is answered by a reply: one JSON object and `\r\n`. White space around a request is
allowed, and so is `\r` before `\n`; inside, a request has no newline.

Requests of a connection are answered in the order in which they were sent, so they need no ids. A client may send further requests before it has
the replies of earlier ones (pipelining), and gains much from it. Requests of different connections have no order.

| limit | option | at the limit |
| --- | --- | --- |
| length of a request without its newline | `--max-request-bytes`, 1 MiB | `request_too_large`, then the connection is closed |
| length of a reply | `--max-response-bytes`, 1 MiB | `response_too_large` instead of the reply; a mutation was executed even so |
| depth of a request's JSON | 32 | `invalid_json` |
| memory of requests that are not complete | a sixteenth of the machine's memory | `resource_exhausted` |
| memory of replies that wait | `--max-reply-memory` | `resource_exhausted` |
| connections | `--max-connections` | `resource_exhausted`, then the connection is closed |
| a request that has begun and does not end | `--read-timeout`, 5 seconds | the connection is closed |
| replies that the client does not read | `--write-timeout`, 5 seconds | the connection is closed |
| a connection on which nothing is sent | `--idle-timeout`, none | the connection is closed |
| reads of a whole series or of events | `--query-timeout-ms`, 1 second | `query_timeout` |

## Requests and replies

Every request has these fields, beside those of its op:

| field | type | |
| --- | --- | --- |
| `v` | number | 2 |
| `op` | string | the name of the op |
| `token` | string | needed where the daemon has tokens |

```json
{"v":2,"op":"system.ping"}
{"protocol_version":2,"success":true,"response":"pong","error_code":null}
{"v":2,"op":"counter.sum","series":"nowhere","key":1}
{"protocol_version":2,"success":false,"response":"Tree \"nowhere\" not found","error_code":"not_found"}
```

A reply has `success`; `response`, which the op defines, or a sentence for a person where the request was refused; and `error_code`, null or one of those
below. Its members may come in any order, and later versions may add some. A refused request has changed nothing, but for `replication_error` and
`internal_error` on a mutation, of which it may not be known.

The checks are made in this order, and the first that fails gives the error: length, JSON, `v`, whether `op` is a string, token, whether the op is known, what the
token allows, fields, the role of the node, the state.

A field that the op does not know is ignored, or refused as `validation_error` with `--unknown-fields=refuse`. Of a member that
an object has twice the last one counts. An optional field that may be null may be left out as well.

## Errors

| `error_code` | meaning | what a client can do |
| --- | --- | --- |
)";

constexpr const char* page_rest = R"(
Every op can give `invalid_json`, `unsupported_protocol`, `validation_error`, `unauthorized`, `forbidden`, `request_too_large`,
`resource_exhausted` and `internal_error`, and each op that writes `replication_error` where `--replication-min-acks` is set, or where the
node was fenced. The ops below list others, and what is special about these.

## Tokens and roles

With `--auth-token`, `--read-auth-token` or tokens in the configuration file ([configuration.md](configuration.md#tokens)) every
request needs a `token`; without one, or with one that is not known, it is `unauthorized`. Each op says what its token has to allow:

| access | |
| --- | --- |
| read | a token that may read; on every node |
| write | a token that may write; on the master: a follower refuses it as `forbidden` |
| admin | a token that may administrate: that of `--auth-token`, or one with `access = "admin"` |

A token that does not allow it, or is for other series, is `forbidden`. Tokens appear in no log, event, metric or message.

## Numbers, days and times

| type | |
| --- | --- |
| number | an integer from 0 to 18446744073709551615, without fraction or exponent. Many JSON libraries keep only 53 bits: read and write larger ones as integers of 64 bits |
| string | UTF-8; a series, a name and an id have at least one byte |
| day | a UTC calendar day, the bucket of a counter: the number `20260505`, or `"2026-05-05"` or `"20260505"` |
| range | as `range`: `{"from":20260501,"to":20260531}`, two days, both included, `from` not after `to`; or the name of a period, `"today"`, `"yesterday"`, `"this_week"` (from Monday on), `"this_month"`, `"last_month"` or `"this_year"`. As `last`: a number of days such as `"30d"`, today the last of them. A period is that of the day in UTC on which the request is executed, or at which a time given as `as_of` lies |
| time | Unix seconds, an RFC 3339 text such as `"2026-05-05T12:00:00Z"`, or a UTC day such as `"2026-05-05"` |
| point in history | an LSN as a number, or an RFC 3339 text or a UTC day, which stands for its end |
| boolean | `true`, `false`; also as a text |

An LSN numbers the events of the log, from 1. Totals of a series can be larger than 64 bits, and are written exactly.

## Answers about the past

`as_of` asks for the state after the event of an LSN, or at a time: [history.md](history.md). What is no longer kept is
`replication_gap`.

## Pages

A list that can be long is read in pages. tree.list, snapshot.list, snapshot.info and replication.status take `limit`, the
number of items, and `cursor`, null or left out for the first page, then `next_cursor` of the page before; `next_cursor` is null
at the end. A `cursor` alone has a limit of 1000. With neither of them the whole list is given, as far as it fits a reply. tree.keys, event.list and
replication.entries always have a limit, and continue with `cursor` or `after_lsn`.

## Idempotency

The ops that say so take an `idempotency_key`, a string of 1 to 256 bytes or a number. The request counts once, however often
it is sent, over restarts and changes of the master: a repeat has the response of the first one. The reply says which it was:

```json
{"v":2,"op":"counter.increment","series":"orders","key":1,"bucket":20260505,"value":3,"idempotency_key":"order-17"}
{"protocol_version":2,"success":true,"response":3,"idempotent":false,"error_code":null}
{"v":2,"op":"counter.increment","series":"orders","key":1,"bucket":20260505,"value":3,"idempotency_key":"order-17"}
{"protocol_version":2,"success":true,"response":3,"idempotent":true,"error_code":null}
{"v":2,"op":"counter.increment","series":"orders","key":1,"bucket":20260505,"value":4,"idempotency_key":"order-17"}
{"protocol_version":2,"success":false,"response":"…","error_code":"idempotency_conflict"}
```

The key with another request is an `idempotency_conflict`. A refused request does not use its key. After an error or a lost connection of which a client does
not know whether the request was executed, it sends the same one again. Where the bucket is left out it is the day of the request, so a repeat on
the next day would be another request: a producer that repeats gives the bucket.

Keys are remembered until `--idempotency-max-records` or `--idempotency-max-age-seconds` is reached, or idempotency.prune forgets them.

Whether two requests are the same is decided by a fingerprint: the SHA-256, in hexadecimal digits, of the lines below, each
ended by `\n`. A client may send its own as `fingerprint`, 1 to 512 bytes; one that differs from the daemon's is an
`idempotency_conflict`. The first line is the command, `command:s:9:increment`. A string is written `name:s:<bytes>:<text>`, a number
`name:u:<number>`, a count `name:i:<number>`, nothing `name:n`, and a day as its number:

| command | of | its lines |
| --- | --- | --- |
| increment, decrement | counter.increment, counter.decrement | series, key, bucket, value |
| batch_add, batch_set | series.batch_add, series.batch_set | series, items_count (a count), then item_key, item_bucket, item_value of each item |
| multi_add | counter.multi_add | items_count (a count), then item_series, item_key, item_bucket, item_value of each item |
| batch_reset | counter.batch_reset | series, keys_count (a count), then key_value of each key |
| batch_delete_range | counter.batch_delete_range | as batch_reset, then range_from, range_to |
| delete | counter.delete_range, tree.delete_range | series, key (nothing for tree.delete_range), range_from, range_to |
| reset | counter.reset, tree.reset | series, key (nothing for tree.reset) |
)";

/// What an error means, and what its client can do.
const char* meaning_of_error(ErrorCode code) noexcept {
    switch (code) {
        case ErrorCode::invalid_json: return "the line is not JSON | correct the program";
        case ErrorCode::unsupported_protocol:
            return "`v` is missing or is not the number 2 | correct the program";
        case ErrorCode::unknown_command:
            return "the daemon has no such op | correct it, or update the daemon";
        case ErrorCode::validation_error:
            return "the request is no object, a field is missing or wrong, or the state does not allow it | "
                   "correct the request";
        case ErrorCode::not_found:
            return "a series, file, stream or export that the request names does not exist | make it first";
        case ErrorCode::unauthorized: return "the token is missing or unknown | send a valid one";
        case ErrorCode::forbidden:
            return "the token does not allow it, or the node is a follower | ask the master, with a token "
                   "that allows it";
        case ErrorCode::request_too_large: return "the request is longer than allowed | divide it";
        case ErrorCode::response_too_large:
            return "the reply is longer than allowed | ask for less, or in pages";
        case ErrorCode::query_timeout:
            return "the read took longer than allowed | ask for less, or try again";
        case ErrorCode::idempotency_conflict:
            return "the idempotency key, stream or chunk was used with other content | use a new key for a "
                   "new request";
        case ErrorCode::replication_gap:
            return "what is asked for is not kept any more | begin with what is kept";
        case ErrorCode::replication_error:
            return "the node cannot replicate it now; a mutation may have been executed here | send it "
                   "again, with its idempotency key";
        case ErrorCode::internal_error:
            return "the daemon failed: its log says why; a mutation may have been executed | send it again, "
                   "with its idempotency key";
        case ErrorCode::resource_exhausted:
            return "a limit of the daemon is reached: connections, memory or series | try again later, or "
                   "raise the limit";
    }
    return "";
}

void print_errors(std::ostream& out) {
    constexpr auto last = static_cast<int>(ErrorCode::resource_exhausted);
    for (int code = 0; code <= last; ++code) {
        const auto error = static_cast<ErrorCode>(code);
        out << "| `" << error_code_name(error) << "` | " << meaning_of_error(error) << " |\n";
    }
}

void print_field_table(std::ostream& out, const net::Op& op) {
    if (op.fields.empty()) {
        return;
    }
    out << "\n| field | type | default | |\n| --- | --- | --- | --- |\n";
    for (const net::OpField& field : op.fields) {
        out << "| `" << field.field->name << '`';
        if (!field.field->other_name.empty()) {
            out << " or `" << field.field->other_name << '`';
        }
        const std::string otherwise = field_default(field);
        out << " | " << field.field->type << " | "
            << (!field.is_optional  ? "required"
                : otherwise.empty() ? "none"
                                    : otherwise)
            << " | " << field_meaning(field) << " |\n";
    }
}

void print_example(std::ostream& out, const net::Op& op) {
    if (op.example.request.empty()) {
        out << "\nOnly nodes send it to each other, so there is no example.\n";
        return;
    }
    out << "\n```json\n";
    for (const std::string_view before : op.example.before) {
        out << before << '\n';
    }
    out << op.example.request << '\n' << example_reply(op) << "\n```\n";
}

void print_op(std::ostream& out, const net::Op& op) {
    out << "\n### " << op.name << "\n\n" << op.summary << " Access: " << access_text(op) << '.';
    if (op.idempotent) {
        out << " Takes an [idempotency key](#idempotency).";
    }
    for (const std::string_view alias : op.aliases) {
        out << " Also called `" << alias << "`.";
    }
    out << '\n';
    print_field_table(out, op);
    out << "\nResponse: " << op.reply << ".\n";
    if (!op.errors.empty()) {
        out << '\n';
        for (const net::OpError& error : op.errors) {
            out << "- `" << error_code_name(error.code) << "`: " << error.when << '\n';
        }
    }
    print_example(out, op);
}

}  // namespace

void print_protocol_page(std::ostream& out) {
    out << page_introduction;
    print_errors(out);
    out << page_rest;
    for (const net::OpGroup* const group : net::op_groups()) {
        out << "\n## " << group->title << '\n';
        if (!group->introduction.empty()) {
            out << '\n' << group->introduction << '\n';
        }
        for (const net::Op& op : group->ops) {
            print_op(out, op);
        }
    }
}

}  // namespace karma::cli
