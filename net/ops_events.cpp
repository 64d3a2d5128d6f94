#include "net/op_catalog.h"

namespace karma::net {

namespace field {

constexpr Field from{"from", {}, "time or null", "only events from this time on"};
constexpr Field to{
    "to", {}, "time or null", "only events up to this time: all of the second, or of the day, that it names"};
constexpr Field events_after{"after_lsn", {}, "number or null", "only events above this LSN"};
constexpr Field events_key{
    "key", {}, "number or null", "only events that change this key, alone or with others; needs `series`"};
constexpr Field wait_ms{"wait_ms",
                        {},
                        "number or null",
                        "milliseconds for which the reply waits until the log has an event above "
                        "`after_lsn`, of any series; later requests of the connection wait too"};
constexpr Field snapshot{
    "snapshot", {}, "string", "`new`: the present state; `latest`: the latest snapshot of everything"};

}  // namespace field
namespace {

using F = const Fields&;

constexpr Bounds events_bounds{1, 10'000, 100};

Decoded event_list(F f) {
    query::Events events;
    events.after_lsn = f.nullable_number("after_lsn");
    events.limit = limit_within(f, events_bounds);
    if (f.has("series") || f.has("tree")) {
        events.series = f.series();
    }
    events.key = f.nullable_number("key");
    if (events.key && !events.series) {
        refuse_request("Field key needs field series");
    }
    events.from_ms = f.optional_instant_ms("from", false);
    events.to_ms = f.optional_instant_ms("to", true);
    events.wait = f.wait_time();
    return events;
}

Decoded export_begin(F f) {
    query::BeginExport begin;
    if (f.has("series") || f.has("tree")) {
        begin.series = f.series();
    }
    const std::string_view snapshot = f.has("snapshot") ? f.text("snapshot") : "new";
    if (snapshot != "new" && snapshot != "latest") {
        refuse_request("Field snapshot must be new or latest");
    }
    begin.is_new = snapshot == "new";
    return begin;
}
Decoded export_fetch(F f) {
    return query::FetchExport{f.text("export_id"), f.text("file"), f.optional_number("offset").value_or(0),
                              limit_within(f, chunk_bounds)};
}
Decoded export_end(F f) { return query::EndExport{f.text("export_id")}; }

constexpr Bounds wait_bounds{0, 60'000, 0};

}  // namespace

const OpGroup& event_ops() {
    static const OpGroup group = {
        .title = "Events and exports",
        .introduction =
            "Every accepted change is an event with an LSN: [history.md](history.md). An export is a set of "
            "files of one LSN, pinned until it ends: [backup-and-restore.md](backup-and-restore.md).",
        .ops = {
            {.name = "event.list",
             .summary = "Events of the log, filtered.",
             .fields = {may(field::events_after, "from the first that is kept"),
                        may(field::limit, events_bounds),
                        may(field::series, "all series", "only events that concern this series"),
                        may(field::events_key, "all keys"), may(field::from, "from the first that is kept"),
                        may(field::to, "up to the last"), may(field::wait_ms, wait_bounds)},
             .reply = "`events`: objects with `lsn`, `time` and `entry`, the request that has the same "
                      "effect; `next_lsn`: the `after_lsn` of the next request; `complete`: whether all "
                      "events were looked at; `first_lsn`, `last_lsn`: of what is kept",
             .errors = {{ErrorCode::replication_gap,
                         "events after `after_lsn` are not kept any more, unless all that is missing was "
                         "before `from`"}},
             .example =
                 {.request = R"({"v":2,"op":"event.list","series":"links","key":42,"limit":1})",
                  .reply =
                      R"({"after_lsn":0,"limit":1,"count":1,"events":[{"lsn":2,"time":"…","entry":{"v":2,"op":"counter.increment","series":"links","key":42,"bucket":20260505,"value":7}}],"next_lsn":2,"complete":false,"first_lsn":1,"last_lsn":"…"})"},
             .decode = event_list},
            {.name = "export.begin",
             .summary =
                 "Pins a state, to be fetched file by file. With a read token it has no idempotency records.",
             .fields = {may(field::series, "all series", "only this series"), may(field::snapshot, "new")},
             .reply = "`export_id`; `lsn` and `timestamp` of the state; `series`: how many; `contents`: name "
                      "and bytes of the file that lists the others; `chunk_bytes_max`: the largest part that "
                      "a reply has room for",
             .errors = {no_series,
                        {ErrorCode::not_found, "`snapshot` is `latest`, and there is none"},
                        {ErrorCode::validation_error, "as many exports as can be are open"}},
             .example =
                 {.request = R"({"v":2,"op":"export.begin"})",
                  .reply =
                      R"({"export_id":"…","lsn":"…","timestamp":"…","series":"…","contents":{"file":"contents.json","bytes":"…"},"chunk_bytes_max":"…"})"},
             .decode = export_begin},
            {.name = "export.fetch",
             .summary = "A part of a file of an export.",
             .fields = {needs(field::export_id), needs(field::file, "contents.json, or a file that it lists"),
                        may(field::offset, from_zero), may(field::limit, chunk_bounds, "bytes at most")},
             .reply = "as snapshot.fetch_chunk",
             .errors = {no_export, no_file, too_long},
             .example =
                 {.request =
                      R"({"v":2,"op":"export.fetch","export_id":"…","file":"contents.json","offset":0,"limit":10})",
                  .reply =
                      R"({"metadata":{"file":"contents.json"},"offset":0,"limit":10,"bytes":10,"total_bytes":"…","next_offset":10,"done":false,"data_base64":"…"})"},
             .decode = export_fetch},
            {.name = "export.end",
             .summary = "Ends an export. One that is not used for long ends by itself.",
             .fields = {needs(field::export_id)},
             .reply = "`\"OK\"`",
             .errors = {no_export},
             .example = {.request = R"({"v":2,"op":"export.end","export_id":"…"})", .reply = R"("OK")"},
             .decode = export_end},
        }};
    return group;
}

}  // namespace karma::net
