#include "net/op_catalog.h"

namespace karma::net {
namespace {

using F = const Fields&;

Decoded ping(F /*f*/) { return query::Ping{}; }
Decoded health(F /*f*/) { return query::Health{}; }
Decoded system_stats(F /*f*/) { return query::Stats{}; }
Decoded system_metrics(F /*f*/) { return query::Metrics{}; }
Decoded compact_all(F /*f*/) { return Mutation(mutation::CompactAll{}); }

}  // namespace

const OpGroup& system_ops() {
    static const OpGroup group = {
        .title = "System",
        .introduction = "",
        .ops = {
            {.name = "system.ping",
             .summary = "Says that the daemon answers.",
             .reply = "`\"pong\"`",
             .example = {.request = R"({"v":2,"op":"system.ping"})", .reply = R"("pong")"},
             .decode = ping},
            {.name = "system.health",
             .summary = "Whether something needs an operator.",
             .reply = "`status`: `ok`, or a sentence that says what is wrong; `role`: `master` or `slave`; "
                      "`discarded`, if there: what an operator's order has moved out of the way",
             .example = {.request = R"({"v":2,"op":"system.health"})",
                         .reply =
                             R"({"status":"ok","uptime_seconds":"…","role":"master","wal_enabled":true})"},
             .decode = health},
            {.name = "system.stats",
             .summary = "Statistics.",
             .reply = "an object of names and values: [operations.md](operations.md) explains those to watch",
             .errors = {too_long},
             .example = {.request = R"({"v":2,"op":"system.stats"})", .reply = R"({"…":"…"})"},
             .decode = system_stats},
            {.name = "system.metrics",
             .summary = "Statistics in the text format of Prometheus.",
             .reply = "a string",
             .errors = {too_long},
             .example = {.request = R"({"v":2,"op":"system.metrics"})", .reply = R"("# HELP …")"},
             .decode = system_metrics},
            {.name = "system.compact",
             .access = OpAccess::write,
             .summary = "Removes the keys of all series that have no buckets.",
             .reply = "`\"OK\"`",
             .example = {.request = R"({"v":2,"op":"system.compact"})", .reply = R"("OK")"},
             .decode = compact_all},
        }};
    return group;
}

}  // namespace karma::net
