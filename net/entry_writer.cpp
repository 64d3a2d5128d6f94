#include "net/entry_writer.h"

#include <algorithm>
#include <limits>

#include "engine/event_codec.h"
#include "net/json_appender.h"

namespace karma::net {
namespace {

/// Writes the fields of each mutation behind `{"v":2`.
class EntryWriter {
public:
    explicit EntryWriter(std::string& out) : json_(out) {}

    void operator()(const mutation::CreateSeries& m) { of_series("tree.create", m.series); }
    void operator()(const mutation::DropSeries& m) { of_series("tree.drop", m.series); }
    void operator()(const mutation::Increment& m) { point("counter.increment", m); }
    void operator()(const mutation::Decrement& m) { point("counter.decrement", m); }
    void operator()(const mutation::BatchAdd& m) { batch("series.batch_add", m); }
    void operator()(const mutation::BatchSet& m) { batch("series.batch_set", m); }
    void operator()(const mutation::ResetCounter& m) { of_key("counter.reset", m.series, m.key); }
    void operator()(const mutation::ResetSeries& m) { of_series("tree.reset", m.series); }
    void operator()(const mutation::BatchReset& m) {
        of_series("counter.batch_reset", m.series);
        keys(m.keys);
    }
    void operator()(const mutation::DeleteCounterRange& m) {
        of_key("counter.delete_range", m.series, m.key);
        range(m.range);
    }
    void operator()(const mutation::DeleteSeriesRange& m) {
        of_series("tree.delete_range", m.series);
        range(m.range);
    }
    void operator()(const mutation::BatchDeleteRange& m) {
        of_series("counter.batch_delete_range", m.series);
        keys(m.keys);
        range(m.range);
    }
    void operator()(const mutation::DeleteBefore& m) {
        of_series("series.delete_before", m.series);
        json_.raw(",\"before\":").day(m.before);
    }
    void operator()(const mutation::CompactSeries& m) { of_series("series.compact", m.series); }
    void operator()(const mutation::CompactAll&) { op("system.compact"); }
    void operator()(const mutation::SaveCheckpoint& m) {
        op("recovery.checkpoint");
        json_.raw(",\"source\":").text(m.source);
        optional_text("offset", m.offset);
        optional_text("event_id", m.event_id);
    }
    void operator()(const mutation::BeginStream& m) {
        of_stream("ingest.begin", m.stream_id);
        json_.raw(",\"mode\":").text(ingest_mode_name(m.mode));
        optional_text("granularity", m.granularity);
    }
    void operator()(const mutation::AddChunk& m) {
        of_stream("ingest.chunk", m.stream_id);
        json_.raw(",\"series\":").text(m.series).raw(",\"chunk_seq\":").number(m.chunk_seq);
        items(m.items);
    }
    void operator()(const mutation::CommitStream& m) { of_stream("ingest.commit", m.stream_id); }
    void operator()(const mutation::AbortStream& m) { of_stream("ingest.abort", m.stream_id); }
    void operator()(const mutation::LoadSeries& m) { of_stream("ingest.commit", m.stream_id); }
    void operator()(const mutation::PruneRecords& m) {
        op("idempotency.prune");
        json_.raw(",\"before\":").number(m.before_unix);
        if (m.limit) {
            json_.raw(",\"limit\":").number(*m.limit);
        }
    }

private:
    void op(std::string_view name) { json_.raw(",\"op\":\"").raw(name).raw("\""); }
    void of_series(std::string_view name, std::string_view series) {
        op(name);
        json_.raw(",\"series\":").text(series);
    }
    void of_key(std::string_view name, std::string_view series, std::uint64_t key) {
        of_series(name, series);
        json_.raw(",\"key\":").number(key);
    }
    void of_stream(std::string_view name, std::string_view stream_id) {
        op(name);
        json_.raw(",\"stream_id\":").text(stream_id);
    }
    void optional_text(std::string_view name, const std::optional<std::string_view>& value) {
        if (value) {
            json_.raw(",\"").raw(name).raw("\":").text(*value);
        }
    }
    template <typename Body>
    void point(std::string_view name, const Body& m) {
        of_key(name, m.series, m.key);
        json_.raw(",\"bucket\":").day(m.day).raw(",\"value\":").number(m.value);
    }
    template <typename Body>
    void batch(std::string_view name, const Body& m) {
        of_series(name, m.series);
        json_.raw(",\"granularity\":\"day\"");
        items(m.items);
    }
    void items(std::span<const mutation::Item> items) {
        json_.raw(",\"items\":[");
        std::string_view separator = "[";
        for (const mutation::Item& item : items) {
            json_.raw(separator).number(item.key).raw(",").day(item.day).raw(",").number(item.value).raw("]");
            separator = ",[";
        }
        json_.raw("]");
    }
    void keys(std::span<const std::uint64_t> keys) {
        json_.raw(",\"keys\":[");
        std::string_view separator;
        for (const std::uint64_t key : keys) {
            json_.raw(separator).number(key);
            separator = ",";
        }
        json_.raw("]");
    }
    void range(DayRange range) {
        json_.raw(",\"range\":{\"from\":").day(range.from).raw(",\"to\":").day(range.to).raw("}");
    }

    Json json_;
};

/// What of a reply is not entries, about.
constexpr std::size_t reply_frame_bytes = 2048;

}  // namespace

void append_entry(const Event& event, std::string& out) {
    out += "{\"v\":2";
    std::visit(EntryWriter(out), event.body);
    if (!event.idempotency_key.empty()) {
        Json(out)
            .raw(",\"idempotency_key\":")
            .text(event.idempotency_key)
            .raw(",\"idempotency_created_at_unix\":")
            .number(event.time_ms / 1000);
    }
    out += "}";
}

LogEntriesText::LogEntriesText(const reply::LogEntries& reply, std::size_t response_bytes_max)
    : next_lsn(reply.after_lsn) {
    const std::size_t byte_limit =
        response_bytes_max > reply_frame_bytes ? response_bytes_max - reply_frame_bytes : response_bytes_max;
    const std::size_t bytes_max = byte_limit == 0 ? std::numeric_limits<std::size_t>::max() : byte_limit;
    std::uint64_t count = 0;
    bool truncated = false;
    const auto visit = [&](const Event& event) {
        if (event.lsn <= reply.after_lsn || event.lsn > reply.source_lsn || count == reply.limit ||
            truncated) {
            return;
        }
        const std::size_t before = entries.size();
        Json(entries).raw(count == 0 ? "{\"lsn\":" : ",{\"lsn\":").number(event.lsn).raw(",\"entry\":");
        append_entry(event, entries);
        entries += "}";
        if (count != 0 && entries.size() > bytes_max) {
            entries.resize(before);
            truncated = true;
            return;
        }
        ++count;
        next_lsn = event.lsn;
    };
    for (const std::string& group : reply.groups) {
        if (!truncated && count < reply.limit) {
            read_event_group(group, visit);
        }
    }
    Json(head)
        .raw("{\"after_lsn\":")
        .number(reply.after_lsn)
        .raw(",\"limit\":")
        .number(std::uint64_t{reply.limit})
        .raw(",\"byte_limit\":")
        .number(std::uint64_t{byte_limit})
        .raw(",\"entries_bytes\":")
        .number(std::uint64_t{entries.size()})
        .raw(",\"truncated_by_bytes\":")
        .raw(truncated || (reply.truncated && count < reply.limit) ? "true" : "false")
        .raw(",\"count\":")
        .number(count)
        .raw(",\"source_lsn\":")
        .number(reply.source_lsn);
}

}  // namespace karma::net
