#include "net/op_catalog.h"

namespace karma::net {

namespace field {

constexpr Field mode{"mode",
                     {},
                     "string",
                     "`add`: items are added; `set`: they replace buckets; `replace_series`: they are the "
                     "series' new content, which nobody sees before the commit"};
constexpr Field granularity{"granularity",
                            {},
                            "string or null",
                            "`day`, or `day;` and settings of the client, at most 128 bytes: who begins the "
                            "stream again has to say the same"};
constexpr Field checkpoint_offset{"offset", "source_offset", "string, number or null",
                                  "how far it was read; this or `event_id` is needed"};
constexpr Field event_id{"event_id", {}, "string, number or null", "the last event that was read of it"};
constexpr Field checked_points{"checked_points", {}, "number", "points that were compared"};
constexpr Field mismatch_count{"mismatch_count", {}, "number", "those that differ; at most `checked_points`"};
constexpr Field absolute_drift{"absolute_drift", {}, "number", "the sum of the differences"};
constexpr Field max_abs_delta{"max_abs_delta", {}, "number", "the greatest difference"};

}  // namespace field
namespace {

using F = const Fields&;

Decoded ingest_begin(F f) {
    const std::string_view stream_id = f.text("stream_id");
    const std::string_view mode = f.text("mode");
    const std::optional<IngestMode> known = ingest_mode_from_name(mode);
    if (!known) {
        refuse_request("Field mode must be add, set or replace_series");
    }
    if (stream_id.starts_with(load_stream_prefix)) {
        refuse_request("Field stream_id must not begin with " + std::string(load_stream_prefix));
    }
    return Mutation(mutation::BeginStream{stream_id, *known, f.stream_granularity()});
}

Decoded ingest_chunk(F f) {
    mutation::AddChunk chunk;
    chunk.series = f.series();
    chunk.stream_id = f.text("stream_id");
    chunk.chunk_seq = f.number("chunk_seq");
    if (chunk.chunk_seq == 0) {
        refuse_request("Field chunk_seq must be greater than 0");
    }
    chunk.items = f.items(0);
    return Mutation(chunk);
}

Decoded ingest_commit(F f) { return Mutation(mutation::CommitStream{f.text("stream_id")}); }
Decoded ingest_abort(F f) { return Mutation(mutation::AbortStream{f.text("stream_id")}); }

constexpr Bounds prune_bounds{1, mutation::PruneStreams::limit_max, 1'000};
constexpr Bounds above_zero{1};

Decoded ingest_prune(F f) {
    mutation::PruneStreams prune;
    prune.before_unix = f.instant("before");
    prune.limit = limit_within(f, prune_bounds);
    return Mutation(prune);
}

Decoded recovery_checkpoint(F f) {
    mutation::SaveCheckpoint checkpoint{f.text("source"), f.text_or_number("offset"),
                                        f.text_or_number("event_id")};
    if (!checkpoint.offset) {
        checkpoint.offset = f.text_or_number("source_offset");
    }
    if (!checkpoint.offset && !checkpoint.event_id) {
        refuse_request("Field offset or event_id is required");
    }
    return Mutation(checkpoint);
}

Decoded recovery_status(F f) {
    return query::Checkpoints{f.has("source") ? std::optional(f.text("source")) : std::nullopt};
}

Decoded reconciliation_report(F f) {
    const control::ReportReconciliation report{f.number("checked_points"), f.number("mismatch_count"),
                                               f.optional_number("absolute_drift").value_or(0),
                                               f.optional_number("max_abs_delta").value_or(0)};
    if (report.mismatches > report.checked_points) {
        refuse_request("Field mismatch_count must be less than or equal to checked_points");
    }
    return report;
}

constexpr OpError conflicting_stream{ErrorCode::idempotency_conflict,
                                     "the stream was begun with another mode or granularity"};
constexpr OpError too_many_streams{
    ErrorCode::resource_exhausted,
    "as many streams and chunks are remembered as `--max-ingest-streams` allows"};

}  // namespace

const OpGroup& ingest_ops() {
    static const OpGroup group = {
        .title = "Ingest streams and checkpoints",
        .introduction =
            "A stream loads many points in numbered chunks, each of which counts once however often it is "
            "sent: after an error or a lost connection the client sends the same again. A checkpoint says "
            "how far a producer has read its source.",
        .ops = {
            {.name = "ingest.begin",
             .access = OpAccess::write,
             .summary = "Begins a stream. The same request again gives where the stream is.",
             .fields = {needs(field::stream_id), needs(field::mode), may(field::granularity, "null")},
             .reply = "`status`: `active`, or `already_committed`; `last_chunk_seq`: the last chunk that "
                      "counts; `series`: null before the first chunk",
             .errors = {conflicting_stream,
                        {ErrorCode::validation_error, "too many streams are open"},
                        too_many_streams},
             .example =
                 {.request =
                      R"({"v":2,"op":"ingest.begin","stream_id":"import-1","mode":"add","granularity":"day"})",
                  .reply =
                      R"({"stream_id":"import-1","mode":"add","series":null,"granularity":"day","status":"active","last_chunk_seq":0})"},
             .decode = ingest_begin},
            {.name = "ingest.chunk",
             .access = OpAccess::write,
             .summary = "Applies the next chunk of a stream. A repeat with the same items is skipped.",
             .fields = {needs(field::stream_id),
                        needs(field::series, "the series; the first chunk binds the stream to it"),
                        needs(field::chunk_seq, above_zero),
                        needs(field::items, "the points; with mode `add` each value is at least 1")},
             .reply = "`skipped`: whether the chunk was applied before, with `committed` beside it then; "
                      "`applied`: the points; `total`: the sum of their values",
             .errors = {no_stream,
                        {ErrorCode::validation_error,
                         "the number leaves a gap, the series is another one, or a sum would pass "
                         "18446744073709551615"},
                        {ErrorCode::idempotency_conflict,
                         "a chunk of this number had other items, or the stream is committed"},
                        too_many_series,
                        too_many_streams},
             .example =
                 {.request =
                      R"({"v":2,"op":"ingest.chunk","stream_id":"import-1","series":"visits","chunk_seq":1,"items":[[1,20260505,3],[2,20260505,4]]})",
                  .reply = R"({"stream_id":"import-1","chunk_seq":1,"skipped":false,"applied":2,"total":7})"},
             .decode = ingest_chunk},
            {.name = "ingest.commit",
             .access = OpAccess::write,
             .summary = "Ends a stream. With mode `replace_series` its content becomes that of the series.",
             .fields = {needs(field::stream_id)},
             .reply = "`status`: `committed`; again: the reply of ingest.begin with `already_committed`",
             .errors = {no_stream,
                        {ErrorCode::validation_error, "the mode is `replace_series`, and no chunk came"}},
             .example = {.request = R"({"v":2,"op":"ingest.commit","stream_id":"import-1"})",
                         .reply = R"({"stream_id":"import-1","status":"committed","last_chunk_seq":1})"},
             .decode = ingest_commit},
            {.name = "ingest.abort",
             .access = OpAccess::write,
             .summary = "Gives a stream up. What modes `add` and `set` have applied stays.",
             .fields = {needs(field::stream_id)},
             .reply = "`status`: `aborted`",
             .errors = {no_stream},
             .example =
                 {.before = {R"({"v":2,"op":"ingest.begin","stream_id":"import-2","mode":"replace_series"})"},
                  .request = R"({"v":2,"op":"ingest.abort","stream_id":"import-2"})",
                  .reply = R"({"stream_id":"import-2","status":"aborted","last_chunk_seq":0})"},
             .decode = ingest_abort},
            {.name = "ingest.prune",
             .access = OpAccess::write,
             .summary = "Forgets committed streams: the oldest of those that were committed before a time. "
                        "One that is forgotten would count again.",
             .fields = {needs(field::before_time), may(field::limit, prune_bounds)},
             .reply = "`deleted`: how many",
             .example = {.request = R"({"v":2,"op":"ingest.prune","before":"2026-01-01T00:00:00Z"})",
                         .reply = R"({"deleted":0})"},
             .decode = ingest_prune},
            {.name = "recovery.checkpoint",
             .access = OpAccess::write,
             .summary = "Stores how far a source was read, in the place of what was stored for it.",
             .fields = {needs(field::source), may(field::checkpoint_offset, "null"),
                        may(field::event_id, "null")},
             .reply = "what is stored; `offset` and `event_id` as strings",
             .example = {.request = R"({"v":2,"op":"recovery.checkpoint","source":"kafka-0","offset":1200})",
                         .reply =
                             R"({"source":"kafka-0","offset":"1200","event_id":null,"updated_at_unix":"…"})"},
             .decode = recovery_checkpoint},
            {.name = "recovery.status",
             .summary = "The checkpoints, by source.",
             .fields = {may(field::source, "all sources")},
             .reply = "`checkpoints`: as recovery.checkpoint gives them; `checkpoint_count`",
             .errors = {too_long},
             .example =
                 {.request = R"({"v":2,"op":"recovery.status"})",
                  .reply =
                      R"({"checkpoint_count":1,"checkpoints":[{"source":"kafka-0","offset":"1200","event_id":null,"updated_at_unix":"…"}]})"},
             .decode = recovery_status},
            {.name = "reconciliation.report",
             .access = OpAccess::write,
             .summary = "Counts, in statistics and metrics, what a comparison with another source has found.",
             .fields = {needs(field::checked_points), needs(field::mismatch_count),
                        may(field::absolute_drift, from_zero), may(field::max_abs_delta, from_zero)},
             .reply = "`\"OK\"`",
             .example =
                 {.request =
                      R"({"v":2,"op":"reconciliation.report","checked_points":1000,"mismatch_count":1,"absolute_drift":3})",
                  .reply = R"("OK")"},
             .decode = reconciliation_report},
        }};
    return group;
}

}  // namespace karma::net
