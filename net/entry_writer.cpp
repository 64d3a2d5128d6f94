#include "net/entry_writer.h"

#include <algorithm>
#include <limits>

#include "engine/event_codec.h"
#include "engine/timestamp.h"
#include "net/json_appender.h"

namespace karma::net {
namespace {

/// Writes the fields of each mutation behind `{"v":2`.
class EntryWriter {
public:
    explicit EntryWriter(std::string& out) : json_(out) {}

    void operator()(const mutation::CreateSeries& m) { of_series("tree.create", m.series); }
    void operator()(const mutation::DropSeries& m) { of_series("tree.drop", m.series); }
    void operator()(const fact::Increment& m) { point("counter.increment", m); }
    void operator()(const fact::Decrement& m) { point("counter.decrement", m); }
    void operator()(const mutation::BatchAdd& m) { batch("series.batch_add", m); }
    void operator()(const mutation::BatchSet& m) { batch("series.batch_set", m); }
    void operator()(const fact::MultiAdd& m) {
        op("counter.multi_add");
        json_.raw(",\"items\":[");
        std::string_view separator = "{\"series\":";
        for (const mutation::SeriesItem& item : m.items) {
            json_.raw(separator).text(item.series).raw(",\"key\":").number(item.key);
            json_.raw(",\"bucket\":").day(item.day).raw(",\"value\":").number(item.value).raw("}");
            separator = ",{\"series\":";
        }
        json_.raw("]");
    }
    void operator()(const mutation::ResetCounter& m) { of_key("counter.reset", m.series, m.key); }
    void operator()(const mutation::ResetSeries& m) { of_series("tree.reset", m.series); }
    void operator()(const mutation::BatchReset& m) {
        of_series("counter.batch_reset", m.series);
        keys(m.keys);
    }
    void operator()(const fact::DeleteCounterRange& m) {
        of_key("counter.delete_range", m.series, m.key);
        range(m.range);
    }
    void operator()(const fact::DeleteSeriesRange& m) {
        of_series("tree.delete_range", m.series);
        range(m.range);
    }
    void operator()(const fact::BatchDeleteRange& m) {
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
    void operator()(const fact::AddChunk& m) {
        of_stream("ingest.chunk", m.stream_id);
        json_.raw(",\"series\":").text(m.series).raw(",\"chunk_seq\":").number(m.chunk_seq);
        items(m.items);
    }
    void operator()(const mutation::CommitStream& m) { of_stream("ingest.commit", m.stream_id); }
    void operator()(const mutation::AbortStream& m) { of_stream("ingest.abort", m.stream_id); }
    void operator()(const mutation::LoadSeries& m) { of_stream("ingest.commit", m.stream_id); }
    void operator()(const mutation::StartEpoch& m) {
        op("replication.promote");
        json_.raw(",\"epoch\":").number(m.number);
        if (m.node != 0) {
            json_.raw(",\"node_id\":").text(node_id_text(m.node));
        }
    }
    void operator()(const fact::PruneRecords& m) {
        op("idempotency.prune");
        // Earlier versions took times before 1970, which are no valid field.
        json_.raw(",\"before\":").number(std::max<std::int64_t>(m.before_unix, 0));
        if (m.limit) {
            json_.raw(",\"limit\":").number(*m.limit);
        }
    }
    void operator()(const fact::PruneStreams& m) {
        op("ingest.prune");
        json_.raw(",\"before\":").number(std::max<std::int64_t>(m.before_unix, 0));
        json_.raw(",\"limit\":").number(m.limit);
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

void append_entry(const Event& event, bool shows_key, std::string& out) {
    out += "{\"v\":2";
    std::visit(EntryWriter(out), event.body);
    if (!event.idempotency_key.empty()) {
        if (shows_key) {
            Json(out).raw(",\"idempotency_key\":").text(event.idempotency_key);
        }
        Json(out).raw(",\"idempotency_created_at_unix\":").number(event.time_ms / 1000);
    }
    out += "}";
}

namespace {

/// What event.list says of an event before its entry.
void append_place(const Event& event, std::string& out) {
    Json(out).raw("\"lsn\":").number(event.lsn).raw(",\"time\":\"");
    out += rfc3339_from_unix_ms(event.time_ms) + "\"";
}

}  // namespace

void append_event(const Event& event, std::string& out) {
    out += "{";
    append_place(event, out);
    out += ",\"entry\":";
    append_entry(event, true, out);
    out += "}";
}

namespace {

std::size_t byte_limit_of(std::size_t response_bytes_max) {
    return response_bytes_max > reply_frame_bytes ? response_bytes_max - reply_frame_bytes
                                                  : response_bytes_max;
}

/// Writes events as long as there is room for them; the first one has room in any case.
class EntriesWriter {
public:
    struct Style {
        bool for_karma1 = false;  // what Karma 1.0 does not know becomes a request that has no effect there
        bool shows_keys = true;   // idempotency keys
    };

    EntriesWriter(std::string& out, std::size_t limit, std::size_t byte_limit, Style style)
        : out_(out),
          limit_(limit),
          style_(style),
          bytes_max_(byte_limit == 0 ? std::numeric_limits<std::size_t>::max() : byte_limit) {}

    /// Writes the next event, unless the list is cut short. `append_head` writes what stands between the
    /// brace and the entry.
    template <typename AppendHead>
    void write(const Event& event, AppendHead&& append_head) {
        if (!is_cut_short()) {
            add(event, append_head);
        }
    }

    std::uint64_t count() const noexcept { return count_; }
    Lsn last_lsn() const noexcept { return last_lsn_; }
    /// Whether there were more.
    bool has_reached_limit() const noexcept { return has_reached_limit_; }
    bool has_reached_bytes() const noexcept { return has_reached_bytes_; }
    bool is_cut_short() const noexcept { return has_reached_limit_ || has_reached_bytes_; }

private:
    template <typename AppendHead>
    void add(const Event& event, AppendHead&& append_head) {
        if (count_ == limit_) {
            has_reached_limit_ = true;
            return;
        }
        const std::size_t before = out_.size();
        out_ += count_ == 0 ? "{" : ",{";
        append_head(event, out_);
        out_ += ",\"entry\":";
        if (style_.for_karma1 && (std::holds_alternative<mutation::StartEpoch>(event.body) ||
                                  std::holds_alternative<fact::PruneStreams>(event.body))) {
            out_ += R"({"v":2,"op":"idempotency.prune","before":1})";
        } else if (style_.for_karma1 && std::holds_alternative<fact::MultiAdd>(event.body)) {
            // It has effects, and no request of Karma 1.0 has them at one LSN.
            out_.resize(before);
            if (count_ == 0) {
                throw RequestError(ErrorCode::replication_error,
                                   "The event with LSN " + std::to_string(event.lsn) +
                                       " is a counter.multi_add, which Karma 1.0 cannot follow");
            }
            has_reached_limit_ = true;
            return;
        } else {
            append_entry(event, style_.shows_keys, out_);
        }
        out_ += "}";
        if (count_ != 0 && out_.size() > bytes_max_) {
            out_.resize(before);
            has_reached_bytes_ = true;
            return;
        }
        ++count_;
        last_lsn_ = event.lsn;
    }

    std::string& out_;
    std::size_t limit_;
    Style style_;
    std::size_t bytes_max_;
    std::uint64_t count_ = 0;
    Lsn last_lsn_ = 0;
    bool has_reached_limit_ = false;
    bool has_reached_bytes_ = false;
};

}  // namespace

LogEntriesText::LogEntriesText(const reply::LogEntries& reply, std::size_t response_bytes_max) {
    const std::size_t byte_limit = byte_limit_of(response_bytes_max);
    EntriesWriter writer(entries, reply.limit, byte_limit, {true, reply.shows_idempotency_keys});
    const auto append_lsn = [](const Event& event, std::string& out) {
        Json(out).raw("\"lsn\":").number(event.lsn);
    };
    for (const std::string& group : reply.groups) {
        if (writer.is_cut_short()) {
            break;
        }
        read_event_group(group, [&](const Event& event) {
            if (event.lsn > reply.after_lsn && event.lsn <= reply.source_lsn) {
                writer.write(event, append_lsn);
            }
        });
    }
    count = writer.count();
    next_lsn = writer.count() == 0 ? reply.after_lsn : writer.last_lsn();
    const bool truncated = writer.has_reached_bytes() || (reply.truncated && writer.count() < reply.limit);
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
        .raw(truncated ? "true" : "false")
        .raw(",\"count\":")
        .number(writer.count())
        .raw(",\"source_lsn\":")
        .number(reply.source_lsn);
}

EventsText::EventsText(const reply::Events& reply, std::size_t response_bytes_max) {
    EntriesWriter writer(entries, reply.limit, byte_limit_of(response_bytes_max),
                         {false, reply.shows_idempotency_keys});
    for (const Event& event : reply.found.events()) {
        writer.write(event, append_place);
    }
    count = writer.count();
    complete = reply.complete && !writer.is_cut_short();
    next_lsn = writer.is_cut_short() ? writer.last_lsn() : reply.searched_lsn;
}

}  // namespace karma::net
