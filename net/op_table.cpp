#include "net/op_table.h"

#include <limits>
#include <string>
#include <unordered_map>

namespace karma::net {
namespace {

using F = const Fields&;

[[noreturn]] void refuse(const std::string& message) {
    throw RequestError(ErrorCode::validation_error, message);
}

Decoded increment(F f) {
    return Mutation(
        mutation::Increment{f.series(), f.number("key"), f.bucket(), f.value(), f.shows_totals()});
}
Decoded decrement(F f) {
    return Mutation(
        mutation::Decrement{f.series(), f.number("key"), f.bucket(), f.value(), f.shows_totals()});
}
Decoded batch_add(F f) { return Mutation(mutation::BatchAdd{f.series(), f.items(1)}); }
Decoded batch_set(F f) { return Mutation(mutation::BatchSet{f.series(), f.items(0)}); }
Decoded multi_add(F f) { return Mutation(mutation::MultiAdd{f.series_items()}); }
Decoded counter_reset(F f) { return Mutation(mutation::ResetCounter{f.series(), f.number("key")}); }
Decoded tree_reset(F f) { return Mutation(mutation::ResetSeries{f.series()}); }
Decoded batch_reset(F f) { return Mutation(mutation::BatchReset{f.series(), f.keys()}); }
Decoded counter_delete_range(F f) {
    return Mutation(mutation::DeleteCounterRange{f.series(), f.number("key"), f.range()});
}
Decoded tree_delete_range(F f) { return Mutation(mutation::DeleteSeriesRange{f.series(), f.range()}); }
Decoded batch_delete_range(F f) {
    return Mutation(mutation::BatchDeleteRange{f.series(), f.keys(), f.range()});
}
Decoded delete_before(F f) { return Mutation(mutation::DeleteBefore{f.series(), f.day("before", "date")}); }
Decoded compact_series(F f) { return Mutation(mutation::CompactSeries{f.series()}); }
Decoded compact_all(F /*f*/) { return Mutation(mutation::CompactAll{}); }
Decoded tree_create(F f) { return Mutation(mutation::CreateSeries{f.series()}); }
Decoded tree_drop(F f) { return Mutation(mutation::DropSeries{f.series()}); }

Decoded recovery_checkpoint(F f) {
    mutation::SaveCheckpoint checkpoint{f.text("source"), f.text_or_number("offset"),
                                        f.text_or_number("event_id")};
    if (!checkpoint.offset) {
        checkpoint.offset = f.text_or_number("source_offset");
    }
    if (!checkpoint.offset && !checkpoint.event_id) {
        refuse("Field offset or event_id is required");
    }
    return Mutation(checkpoint);
}

Decoded ping(F /*f*/) { return query::Ping{}; }
Decoded health(F /*f*/) { return query::Health{}; }
Decoded tree_list(F f) { return query::ListSeries{f.page(), f.response_bytes_max()}; }
Decoded tree_info(F f) { return query::SeriesInfo{f.series()}; }
Decoded tree_keys(F f) {
    return query::SeriesKeys{f.series(), f.limit(100, 10'000), f.nullable_number("cursor")};
}
Decoded tree_top(F f) {
    return query::SeriesTop{f.series(), f.limit(50, 1'000), f.optional_range(), f.as_of()};
}
Decoded tree_summary(F f) { return query::SeriesSummary{f.series(), f.optional_range(), f.as_of()}; }
Decoded tree_series(F f) { return query::SeriesPoints{f.series(), f.range()}; }
Decoded series_totals(F f) { return query::BucketTotals{f.series(), f.range(), f.as_of()}; }
Decoded sum(F f) { return query::Sum{f.series(), f.number("key"), f.optional_range(), f.as_of()}; }
Decoded points(F f) { return query::Points{f.series(), f.number("key"), f.range(), f.as_of()}; }
Decoded batch_sum(F f) { return query::BatchSum{f.series(), f.keys(), f.optional_range(), f.as_of()}; }
Decoded multi_sum(F f) { return query::MultiSum{f.series_keys(), f.optional_range()}; }
Decoded recovery_status(F f) {
    return query::Checkpoints{f.has("source") ? std::optional(f.text("source")) : std::nullopt};
}
Decoded system_stats(F /*f*/) { return query::Stats{}; }
Decoded system_metrics(F /*f*/) { return query::Metrics{}; }
Decoded replication_status(F f) { return query::ReplicationStatus{f.page(0)}; }
Decoded snapshot_create(F f) { return control::SaveSnapshot{f.series()}; }
Decoded snapshot_create_all(F /*f*/) { return control::SaveAllSnapshots{}; }

Decoded reconciliation_report(F f) {
    const control::ReportReconciliation report{f.number("checked_points"), f.number("mismatch_count"),
                                               f.optional_number("absolute_drift").value_or(0),
                                               f.optional_number("max_abs_delta").value_or(0)};
    if (report.mismatches > report.checked_points) {
        refuse("Field mismatch_count must be less than or equal to checked_points");
    }
    return report;
}

Decoded ingest_begin(F f) {
    const std::string_view stream_id = f.text("stream_id");
    const std::string_view mode = f.text("mode");
    const std::optional<IngestMode> known = ingest_mode_from_name(mode);
    if (!known) {
        refuse("Field mode must be add, set or replace_series");
    }
    if (stream_id.starts_with(load_stream_prefix)) {
        refuse("Field stream_id must not begin with " + std::string(load_stream_prefix));
    }
    return Mutation(mutation::BeginStream{stream_id, *known, f.stream_granularity()});
}

Decoded ingest_chunk(F f) {
    mutation::AddChunk chunk;
    chunk.series = f.series();
    chunk.stream_id = f.text("stream_id");
    chunk.chunk_seq = f.number("chunk_seq");
    if (chunk.chunk_seq == 0) {
        refuse("Field chunk_seq must be greater than 0");
    }
    chunk.items = f.items(0);
    return Mutation(chunk);
}

Decoded ingest_commit(F f) { return Mutation(mutation::CommitStream{f.text("stream_id")}); }
Decoded ingest_abort(F f) { return Mutation(mutation::AbortStream{f.text("stream_id")}); }

Decoded ingest_prune(F f) {
    mutation::PruneStreams prune;
    prune.before_unix = f.instant("before");
    prune.limit = f.limit(1'000, mutation::PruneStreams::limit_max);
    return Mutation(prune);
}

Decoded idempotency_prune(F f) {
    const mutation::PruneRecords prune{f.instant("before"), f.optional_number("limit")};
    if (prune.limit && *prune.limit == 0) {
        refuse("Field limit must be greater than 0");
    }
    return Mutation(prune);
}

Decoded replication_entries(F f) { return query::LogEntries{f.number("after_lsn"), f.limit(1'000, 10'000)}; }

/// A yes or no: a JSON boolean as text is taken too, as command lines give it.
bool flag(F f, const char* name) {
    const std::string_view text = f.boolean_or_text(name).value_or("false");
    if (text != "true" && text != "false") {
        refuse("Field " + std::string(name) + " must be true or false");
    }
    return text == "true";
}

Decoded replication_promote(F f) { return control::Promote{flag(f, "force")}; }

/// The greatest epoch that another node may tell of: the next promotion has to find a greater number.
constexpr std::uint64_t foreign_epoch_max = std::numeric_limits<std::uint64_t>::max() - 1;

void check_epoch(std::uint64_t number, const char* field) {
    if (number > foreign_epoch_max) {
        refuse("Field " + std::string(field) + " must not be greater than " +
               std::to_string(foreign_epoch_max));
    }
}

/// The field `database_id`; not known where it is missing or null.
DatabaseId database_id(F f) {
    const std::optional<std::string_view> text = f.text_or_number("database_id");
    const std::optional<DatabaseId> id = text ? DatabaseId::from_text(*text) : DatabaseId();
    if (!id) {
        refuse("Field database_id must be 32 hexadecimal digits");
    }
    return *id;
}

NodeId node_id(F f) {
    const std::optional<std::string_view> text = f.text_or_number("node_id");
    const std::optional<NodeId> id = text ? node_id_from_text(*text) : NodeId{0};
    if (!id) {
        refuse("Field node_id must be 16 hexadecimal digits");
    }
    return *id;
}

/// The field `port`; 0 where it is missing.
std::uint16_t port(F f) {
    const std::uint64_t port = f.optional_number("port").value_or(0);
    if (port > std::numeric_limits<std::uint16_t>::max()) {
        refuse("Field port must be a port");
    }
    return static_cast<std::uint16_t>(port);
}

Decoded replication_fence(F f) {
    control::Fence fence{f.number("epoch"), f.number("epoch_id"), database_id(f), node_id(f)};
    fence.name = f.text_or_number("name").value_or("");
    fence.host = f.text_or_number("host").value_or("");
    fence.port = port(f);
    if (fence.number == 0) {
        refuse("Field epoch must be greater than 0");
    }
    check_epoch(fence.number, "epoch");
    return fence;
}

Decoded replication_promise(F f) {
    control::Promise promise;
    promise.epoch = f.optional_number("epoch").value_or(0);
    promise.epoch_id = f.optional_number("epoch_id").value_or(0);
    promise.database_id = database_id(f);
    promise.node_id = node_id(f);
    promise.silence_ms = f.optional_number("silence_ms").value_or(0);
    promise.is_ordered = flag(f, "ordered");
    check_epoch(promise.epoch, "epoch");
    return promise;
}

Decoded replication_forget_follower(F f) {
    const control::ForgetFollower forget{node_id(f), f.text_or_number("name").value_or("")};
    if (forget.node_id == 0 && forget.name.empty()) {
        refuse("Field node_id or name is required");
    }
    return forget;
}

Decoded replication_position(F f) { return query::HistoryPositionAt{f.nullable_number("lsn")}; }
Decoded replication_verify(F /*f*/) { return query::CompareDigests{}; }

Decoded replication_subscribe(F f) {
    constexpr std::uint64_t checksum_max = 0xFFFFFFFF;
    control::Subscribe subscribe;
    subscribe.format = f.number("format");
    subscribe.name = f.text("name");
    subscribe.after_lsn = f.number("after_lsn");
    subscribe.checksum = f.nullable_number("checksum");
    subscribe.epochs = f.numbers("epochs");
    subscribe.heartbeat_ms = f.number("heartbeat_ms");
    subscribe.epochs_skipped = f.optional_number("epochs_skipped").value_or(0);
    if (f.has("marks")) {
        subscribe.marks = f.numbers("marks");
    }
    subscribe.database_id = database_id(f);
    subscribe.node_id = node_id(f);
    subscribe.known_epoch = f.optional_number("known_epoch").value_or(0);
    subscribe.known_epoch_id = f.optional_number("known_epoch_id").value_or(0);
    subscribe.is_empty = f.optional_number("empty").value_or(0) != 0;
    subscribe.syncs = f.optional_number("syncs").value_or(0) != 0;
    subscribe.port = port(f);
    subscribe.fails_over = f.optional_number("fails_over").value_or(0) != 0;
    subscribe.stores_lists = f.optional_number("stores_lists").value_or(0) != 0;
    subscribe.order = f.text_or_number("order").value_or("");
    check_epoch(subscribe.known_epoch, "known_epoch");
    if (subscribe.marks.size() % 2 != 0) {
        refuse("Field marks must hold two numbers for each mark");
    }
    for (std::size_t i = 1; i < subscribe.marks.size(); i += 2) {
        if (subscribe.marks[i] > checksum_max) {
            refuse("Field marks must hold checksums of 32 bits");
        }
    }
    if (subscribe.epochs.size() % 3 != 0) {
        refuse("Field epochs must hold three numbers for each epoch");
    }
    for (std::size_t i = 0; i < subscribe.epochs.size(); i += 3) {
        check_epoch(subscribe.epochs[i], "epochs");
    }
    if (subscribe.checksum && *subscribe.checksum > checksum_max) {
        refuse("Field checksum must have 32 bits");
    }
    return subscribe;
}

Decoded event_list(F f) {
    query::Events events;
    events.after_lsn = f.nullable_number("after_lsn");
    events.limit = f.limit(100, 10'000);
    if (f.has("series") || f.has("tree")) {
        events.series = f.series();
    }
    events.key = f.nullable_number("key");
    if (events.key && !events.series) {
        refuse("Field key needs field series");
    }
    events.from_ms = f.optional_instant_ms("from", false);
    events.to_ms = f.optional_instant_ms("to", true);
    events.wait = f.wait_time();
    return events;
}

Decoded snapshot_list(F f) { return query::Snapshots{f.page()}; }
Decoded snapshot_info(F f) { return query::SnapshotInfo{f.page(0)}; }
Decoded snapshot_verify(F /*f*/) { return query::VerifySnapshots{}; }

Decoded snapshot_load(F f) { return control::LoadSnapshot{f.snapshot_file()}; }

constexpr std::size_t chunk_default = 262'144;

Decoded snapshot_fetch(F f) { return query::FetchSnapshot{f.snapshot_file()}; }
Decoded snapshot_chunk(F f) {
    return query::FetchSnapshot{f.snapshot_file(), f.optional_number("offset").value_or(0),
                                f.limit(chunk_default, fetched_bytes_max)};
}
Decoded idempotency_chunk(F f) {
    return query::FetchRecords{f.optional_number("offset").value_or(0),
                               f.limit(chunk_default, fetched_bytes_max), f.nullable_number("last_lsn")};
}

Decoded export_begin(F f) {
    query::BeginExport begin;
    if (f.has("series") || f.has("tree")) {
        begin.series = f.series();
    }
    const std::string_view snapshot = f.has("snapshot") ? f.text("snapshot") : "new";
    if (snapshot != "new" && snapshot != "latest") {
        refuse("Field snapshot must be new or latest");
    }
    begin.is_new = snapshot == "new";
    return begin;
}
Decoded export_fetch(F f) {
    return query::FetchExport{f.text("export_id"), f.text("file"), f.optional_number("offset").value_or(0),
                              f.limit(chunk_default, fetched_bytes_max)};
}
Decoded export_end(F f) { return query::EndExport{f.text("export_id")}; }

constexpr bool reads = false;
constexpr bool writes = true;
constexpr bool once = true;  // takes an idempotency key

constexpr OpName op(std::string_view name, bool is_write, bool idempotent, Decoded (*decode)(F)) {
    return {name, {name, is_write, idempotent, decode}};
}

constexpr OpName alias(std::string_view name, std::string_view of, bool is_write, bool idempotent,
                       Decoded (*decode)(F)) {
    return {name, {of, is_write, idempotent, decode}};
}

constexpr OpName administrative(std::string_view name, Decoded (*decode)(F)) {
    return {name, {name, reads, false, decode, true}};
}

constexpr OpName ops[] = {
    op("system.ping", reads, false, ping),
    op("system.health", reads, false, health),
    op("system.stats", reads, false, system_stats),
    op("system.metrics", reads, false, system_metrics),
    op("system.compact", writes, false, compact_all),
    op("tree.create", writes, false, tree_create),
    op("tree.drop", writes, false, tree_drop),
    op("tree.list", reads, false, tree_list),
    op("tree.info", reads, false, tree_info),
    op("tree.keys", reads, false, tree_keys),
    op("tree.top", reads, false, tree_top),
    op("tree.summary", reads, false, tree_summary),
    op("tree.series", reads, false, tree_series),
    op("tree.reset", writes, once, tree_reset),
    op("tree.delete_range", writes, once, tree_delete_range),
    op("counter.increment", writes, once, increment),
    alias("series.increment", "counter.increment", writes, once, increment),
    op("counter.decrement", writes, once, decrement),
    op("counter.sum", reads, false, sum),
    alias("series.sum", "counter.sum", reads, false, sum),
    op("counter.series", reads, false, points),
    alias("series.points", "counter.series", reads, false, points),
    op("counter.batch_sum", reads, false, batch_sum),
    alias("series.batch_sum", "counter.batch_sum", reads, false, batch_sum),
    op("counter.multi_sum", reads, false, multi_sum),
    op("counter.multi_add", writes, once, multi_add),
    op("counter.reset", writes, once, counter_reset),
    op("counter.batch_reset", writes, once, batch_reset),
    op("counter.delete_range", writes, once, counter_delete_range),
    op("counter.batch_delete_range", writes, once, batch_delete_range),
    op("series.batch_add", writes, once, batch_add),
    alias("counter.batch_increment", "series.batch_add", writes, once, batch_add),
    op("series.batch_set", writes, once, batch_set),
    op("series.totals", reads, false, series_totals),
    op("series.delete_before", writes, false, delete_before),
    alias("tree.delete_before", "series.delete_before", writes, false, delete_before),
    op("series.compact", writes, false, compact_series),
    alias("tree.compact", "series.compact", writes, false, compact_series),
    op("ingest.begin", writes, false, ingest_begin),
    op("ingest.chunk", writes, false, ingest_chunk),
    op("ingest.commit", writes, false, ingest_commit),
    op("ingest.abort", writes, false, ingest_abort),
    op("ingest.prune", writes, false, ingest_prune),
    op("snapshot.create", writes, false, snapshot_create),
    op("snapshot.create_all", writes, false, snapshot_create_all),
    op("snapshot.list", reads, false, snapshot_list),
    op("snapshot.info", reads, false, snapshot_info),
    {"snapshot.load", {"snapshot.load", writes, false, snapshot_load, false, true}},
    op("snapshot.fetch", reads, false, snapshot_fetch),
    op("snapshot.fetch_chunk", reads, false, snapshot_chunk),
    op("snapshot.verify", reads, false, snapshot_verify),
    op("recovery.checkpoint", writes, false, recovery_checkpoint),
    op("recovery.status", reads, false, recovery_status),
    op("reconciliation.report", writes, false, reconciliation_report),
    op("replication.status", reads, false, replication_status),
    op("replication.entries", reads, false, replication_entries),
    op("replication.position", reads, false, replication_position),
    administrative("replication.subscribe", replication_subscribe),
    administrative("replication.promote", replication_promote),
    administrative("replication.promise", replication_promise),
    administrative("replication.forget_follower", replication_forget_follower),
    administrative("replication.fence", replication_fence),
    administrative("replication.verify", replication_verify),
    op("event.list", reads, false, event_list),
    op("idempotency.prune", writes, false, idempotency_prune),
    administrative("idempotency.snapshot_fetch_chunk", idempotency_chunk),
    op("export.begin", reads, false, export_begin),
    op("export.fetch", reads, false, export_fetch),
    op("export.end", reads, false, export_end),
};

}  // namespace

std::span<const OpName> all_ops() noexcept { return ops; }

const Op* find_op(std::string_view name) noexcept {
    static const std::unordered_map<std::string_view, const Op*> by_name = [] {
        std::unordered_map<std::string_view, const Op*> map;
        for (const OpName& entry : ops) {
            map.emplace(entry.name, &entry.op);
        }
        return map;
    }();
    const auto found = by_name.find(name);
    return found == by_name.end() ? nullptr : found->second;
}

}  // namespace karma::net
