#include "net/op_catalog.h"

namespace karma::net {

namespace field {

constexpr Field records_lsn{
    "last_lsn", {}, "number or null", "the LSN of the snapshot whose records are fetched"};

}  // namespace field
namespace {

using F = const Fields&;

Decoded snapshot_create(F f) { return control::SaveSnapshot{f.series()}; }
Decoded snapshot_create_all(F /*f*/) { return control::SaveAllSnapshots{}; }
Decoded snapshot_list(F f) { return query::Snapshots{f.page()}; }
Decoded snapshot_info(F f) { return query::SnapshotInfo{f.page(page_or_none_bounds.low)}; }
Decoded snapshot_verify(F /*f*/) { return query::VerifySnapshots{}; }
Decoded snapshot_load(F f) { return control::LoadSnapshot{f.snapshot_file()}; }
Decoded snapshot_fetch(F f) { return query::FetchSnapshot{f.snapshot_file()}; }
Decoded snapshot_chunk(F f) {
    return query::FetchSnapshot{f.snapshot_file(), f.optional_number("offset").value_or(0),
                                limit_within(f, chunk_bounds)};
}
Decoded idempotency_chunk(F f) {
    return query::FetchRecords{f.optional_number("offset").value_or(0), limit_within(f, chunk_bounds),
                               f.nullable_number("last_lsn")};
}
Decoded idempotency_prune(F f) {
    const mutation::PruneRecords prune{f.instant("before"), f.optional_number("limit")};
    if (prune.limit && *prune.limit == 0) {
        refuse_request("Field limit must be greater than 0");
    }
    return Mutation(prune);
}

constexpr Bounds any_count{1};

}  // namespace

const OpGroup& snapshot_ops() {
    static const OpGroup group = {
        .title = "Snapshots and idempotency records",
        .introduction =
            "A snapshot is the content of a series at an LSN, as a file with a name. Who has a file's name "
            "can load it, or fetch it in parts: what is in a file does not change.",
        .ops = {
            {.name = "snapshot.create",
             .access = OpAccess::write,
             .summary = "Makes a snapshot of a series.",
             .fields = {needs(field::series)},
             .reply = "`\"Tree \\\"NAME\\\" saved\"`",
             .errors = {no_series},
             .example = {.request = R"({"v":2,"op":"snapshot.create","series":"links"})",
                         .reply = R"("Tree \"links\" saved")"},
             .decode = snapshot_create},
            {.name = "snapshot.create_all",
             .access = OpAccess::write,
             .summary = "Makes a snapshot of everything: series, idempotency records, streams, checkpoints.",
             .reply = "`\"OK\"`",
             .example = {.request = R"({"v":2,"op":"snapshot.create_all"})", .reply = R"("OK")"},
             .decode = snapshot_create_all},
            {.name = "snapshot.list",
             .summary = "The names of the files of all snapshots that are kept, newest first.",
             .fields = {may(field::limit, page_bounds), may(field::cursor, "the first page")},
             .reply = "an array of names, `<Unix seconds>_<series>.tree`; with `limit` or `cursor` the "
                      "object `{\"files\":[…],\"limit\",\"cursor\",\"next_cursor\"}`",
             .errors = {too_long},
             .example = {.request = R"({"v":2,"op":"snapshot.list"})", .reply = R"(["…_….tree","…"])"},
             .decode = snapshot_list},
            {.name = "snapshot.info",
             .summary = "The latest snapshot of each series, and what is kept of the log.",
             .fields = {may(field::limit, page_or_none_bounds, "series at most; 0 leaves the list out"),
                        may(field::cursor, "the first page")},
             .reply = "`dump_count`: files that are kept; `latest_by_tree`: a file of each series; "
                      "`idempotency_snapshot`: the file that goes with the latest snapshot of everything, or "
                      "null; `dump_retention_per_tree`: how many are kept of each series; with `limit` or "
                      "`cursor` also `limit`, `cursor` and `next_cursor`",
             .errors = {too_long},
             .example =
                 {.request = R"({"v":2,"op":"snapshot.info"})",
                  .reply =
                      R"({"dump_count":"…","latest_by_tree":[{"tree":"links","file":"…_links.tree","timestamp":"…","bytes":"…","last_lsn":"…","metadata_file":"…_links.tree.meta.json"},"…"],"idempotency_snapshot":{"file":"karma.idempotency.json","timestamp":"…","bytes":"…","last_lsn":"…","record_count":1,"committed_stream_count":1},"last_snapshot_lsn":"…","wal_enabled":true,"wal_bytes":"…","wal_current_lsn":"…","dump_retention_per_tree":5})"},
             .decode = snapshot_info},
            {.name = "snapshot.load",
             .access = OpAccess::write_as_admin,
             .summary = "Gives a series the content of a snapshot, in one step. The series is that of the "
                        "file, and is made where it is missing.",
             .fields = {needs(field::file)},
             .reply = "`\"Tree \\\"NAME\\\" loaded\"`",
             .errors = {no_file, too_many_series},
             .example = {.request = R"({"v":2,"op":"snapshot.load","file":"…_links.tree"})",
                         .reply = R"("Tree \"links\" loaded")"},
             .decode = snapshot_load},
            {.name = "snapshot.fetch",
             .summary = "The whole file of a snapshot.",
             .fields = {needs(field::file)},
             .reply = "`metadata`: of the file, as snapshot.info gives it; `data_base64`: the file",
             .errors = {no_file, too_long},
             .example =
                 {.request = R"({"v":2,"op":"snapshot.fetch","file":"…_links.tree"})",
                  .reply =
                      R"({"metadata":{"tree":"links","file":"…_links.tree","timestamp":"…","bytes":"…","last_lsn":"…","metadata_file":"…_links.tree.meta.json"},"data_base64":"…"})"},
             .decode = snapshot_fetch},
            {.name = "snapshot.fetch_chunk",
             .summary = "A part of the file of a snapshot.",
             .fields = {needs(field::file), may(field::offset, from_zero),
                        may(field::limit, chunk_bounds, "bytes at most")},
             .reply = "as snapshot.fetch, with `bytes`: of this part; `total_bytes`: of the file; "
                      "`next_offset`: where the next part begins; `done`: whether this is the last one",
             .errors = {no_file, too_long},
             .example =
                 {.request =
                      R"({"v":2,"op":"snapshot.fetch_chunk","file":"…_links.tree","offset":0,"limit":10})",
                  .reply =
                      R"({"metadata":{"tree":"links","file":"…_links.tree","timestamp":"…","bytes":"…","last_lsn":"…","metadata_file":"…_links.tree.meta.json"},"offset":0,"limit":10,"bytes":10,"total_bytes":"…","next_offset":10,"done":false,"data_base64":"…"})"},
             .decode = snapshot_chunk},
            {.name = "snapshot.verify",
             .summary = "Rebuilds the state from what is stored and compares it with the live one.",
             .reply = "`status`: `ok`; `digest`: of the state; how much was checked. What does not agree is "
                      "an error that names it",
             .errors = {{ErrorCode::internal_error,
                         "what is stored does not give the live state, or cannot be read"}},
             .example =
                 {.request = R"({"v":2,"op":"snapshot.verify"})",
                  .reply =
                      R"({"status":"ok","dump_count":"…","trees":"…","keys":"…","snapshot_metadata_checked":"…","snapshot_missing_metadata":0,"restore_snapshot_lsn":"…","wal_entries_checked":"…","wal_first_lsn":"…","wal_last_lsn":"…","last_lsn":"…","digest":"…"})"},
             .decode = snapshot_verify},
            {.name = "idempotency.prune",
             .access = OpAccess::write,
             .summary = "Forgets idempotency records from before a time, the oldest ones first.",
             .fields = {needs(field::before_time),
                        may(field::limit, any_count, "how many at most; left out: all of them")},
             .reply = "`deleted`: how many",
             .example = {.request = R"({"v":2,"op":"idempotency.prune","before":1767225600,"limit":1000})",
                         .reply = R"({"deleted":0})"},
             .decode = idempotency_prune},
            {.name = "idempotency.snapshot_fetch_chunk",
             .access = OpAccess::administrative,
             .summary = "A part of karma.idempotency.json, the file of records that goes with a snapshot of "
                        "everything.",
             .fields = {may(field::offset, from_zero), may(field::limit, chunk_bounds, "bytes at most"),
                        may(field::records_lsn,
                            "the latest one; behind the beginning of the file the one that is being fetched, "
                            "if that is certain")},
             .reply = "as snapshot.fetch_chunk; `metadata` as `idempotency_snapshot` of snapshot.info",
             .errors = {no_file, too_long},
             .example =
                 {.request = R"({"v":2,"op":"idempotency.snapshot_fetch_chunk","limit":10})",
                  .reply =
                      R"({"metadata":{"file":"karma.idempotency.json","timestamp":"…","bytes":"…","last_lsn":"…","record_count":1,"committed_stream_count":1},"offset":0,"limit":10,"bytes":10,"total_bytes":"…","next_offset":10,"done":false,"data_base64":"…"})"},
             .decode = idempotency_chunk},
        }};
    return group;
}

}  // namespace karma::net
