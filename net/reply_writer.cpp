#include "net/reply_writer.h"

#include <algorithm>
#include <exception>
#include <string_view>

#include "engine/utf8.h"
#include "net/entry_writer.h"
#include "net/json_appender.h"
#include "net/op_catalog.h"
#include "net/prometheus.h"

namespace karma::net {
namespace {

constexpr std::string_view success_begin = R"({"protocol_version":2,"success":true,"response":)";
constexpr std::string_view success_end = ",\"error_code\":null}\r\n";
constexpr std::string_view first_end = ",\"idempotent\":false,\"error_code\":null}\r\n";
constexpr std::string_view repeat_end = ",\"idempotent\":true,\"error_code\":null}\r\n";

std::string_view end_of(Deduplication deduplication) noexcept {
    switch (deduplication) {
        case Deduplication::no_key: return success_end;
        case Deduplication::first: return first_end;
        case Deduplication::repeat: return repeat_end;
    }
    return success_end;
}

/// Thrown when a reply has grown past its limit, so that no more of it is made.
struct TooLarge {};

/// Writes the value of `response`.
class ResponseWriter {
public:
    ResponseWriter(std::string& out, std::size_t size_max, const Deadline& deadline,
                   std::size_t response_bytes_max)
        : json_(out), size_max_(size_max), deadline_(deadline), response_bytes_max_(response_bytes_max) {}

    void operator()(const Error&) {}  // written as a whole elsewhere
    void operator()(const reply::Ok&) { json_.raw("\"OK\""); }
    void operator()(const reply::Pong&) { json_.raw("\"pong\""); }
    void operator()(const reply::Deleted&) { json_.raw("true"); }
    void operator()(const reply::Number& r) { json_.number(r.value); }
    void operator()(const reply::CounterTotals& r) {
        json_.raw("{\"value\":").number(r.value).raw(",\"bucket_total\":").number(r.bucket_total);
        json_.raw(",\"key_total\":").number(r.key_total).raw("}");
    }
    void operator()(const reply::Added& r) {
        json_.raw("{\"applied\":").number(r.applied).raw(",\"total\":").number(r.total).raw("}");
    }
    void operator()(const reply::Applied& r) { json_.raw("{\"applied\":").number(r.applied).raw("}"); }
    void operator()(const reply::BatchResetDone& r) {
        json_.raw("{\"reset\":").number(r.reset).raw(",\"missing\":").number(r.missing).raw("}");
    }
    void operator()(const reply::BatchDeleted& r) {
        json_.raw("{\"deleted\":").number(r.deleted).raw(",\"missing\":").number(r.missing).raw("}");
    }
    void operator()(const reply::SeriesNames& r) {
        if (r.is_cut_short) {
            throw TooLarge{};
        }
        list(
            r.names, r.page, "trees", [this](const std::string& name) { json_.text(name); },
            [](const std::string& name) { return name; });
    }
    void operator()(const reply::Info& r) {
        json_.raw("{\"tree\":").text(r.series).raw(",\"key_count\":").number(r.totals.keys);
        json_.raw(",\"bucket_count\":").number(r.totals.buckets).raw(",\"total\":").number(r.totals.total);
        json_.raw(",\"branches\":").number(r.pages).raw("}");
    }
    void operator()(const reply::Keys& r) {
        json_.raw("{\"tree\":").text(r.series).raw(",\"limit\":").number(std::uint64_t{r.limit});
        json_.raw(",\"cursor\":");
        number_or_null(r.cursor);
        json_.raw(",\"next_cursor\":");
        number_or_null(r.page.next_cursor);
        json_.raw(",\"keys\":").key_values(r.page.keys, "total").raw("}");
    }
    void operator()(const reply::Top& r) {
        json_.raw("{\"tree\":").text(r.series).raw(",\"limit\":").number(std::uint64_t{r.limit});
        json_.raw(",\"items\":").key_values(r.items, "value").raw("}");
    }
    void operator()(const reply::SummaryOf& r) {
        json_.raw("{\"tree\":").text(r.series);
        if (r.range) {
            json_.raw(",\"range_from\":").day(r.range->from).raw(",\"range_to\":").day(r.range->to);
        }
        json_.raw(",\"total\":")
            .number(r.summary.total)
            .raw(",\"active_keys\":")
            .number(r.summary.active_keys);
        json_.raw(",\"bucket_count\":").number(r.summary.buckets).raw("}");
    }
    void operator()(const reply::AllPoints& r) {
        json_.raw("{");
        std::string_view separator = "\"";
        for (const std::uint64_t key : r.keys) {
            json_.raw(separator).number(key).raw("\":");
            points([&](auto&& visit) { r.view.for_each_point(key, r.range, visit); });
            separator = ",\"";
            check_size();
            if ((++written_ & 0xFFU) == 0) {
                deadline_.check();
            }
        }
        json_.raw("}");
    }
    void operator()(const reply::PointList& r) {
        points([&](auto&& visit) {
            for (const Point& point : r.points) {
                visit(point);
            }
        });
    }
    void operator()(const reply::BucketTotals& r) {
        json_.raw("{");
        std::string_view separator = "\"";
        for (const DayTotal& day : r.totals) {
            json_.raw(separator).day(day.day).raw("\":").number(day.total);
            separator = ",\"";
            check_size();
        }
        json_.raw("}");
    }
    void operator()(const reply::Sums& r) { json_.key_values(r.items, "value"); }
    void operator()(const reply::NamedSums& r) {
        json_.raw("[");
        std::string_view separator = "{\"series\":";
        for (const reply::NamedSum& item : r.items) {
            json_.raw(separator).text(item.series).raw(",\"key\":").number(item.key);
            json_.raw(",\"value\":").number(item.value).raw("}");
            separator = ",{\"series\":";
            check_size();
        }
        json_.raw("]");
    }
    void operator()(const reply::Checkpoint& r) {
        json_.raw("{\"source\":").text(r.source).raw(",\"offset\":").text_or_null(r.offset);
        json_.raw(",\"event_id\":").text_or_null(r.event_id);
        json_.raw(",\"updated_at_unix\":").number(r.updated_at_unix).raw("}");
    }
    void operator()(const reply::Checkpoints& r) {
        json_.raw("{\"checkpoint_count\":")
            .number(std::uint64_t{r.checkpoints.size()})
            .raw(",\"checkpoints\":[");
        std::string_view separator;
        for (const reply::Checkpoint& checkpoint : r.checkpoints) {
            json_.raw(separator);
            (*this)(checkpoint);
            separator = ",";
            check_size();
        }
        json_.raw("]}");
    }
    void operator()(const reply::Health& r) {
        json_.raw("{\"status\":").text(r.status).raw(",\"uptime_seconds\":");
        json_.raw(std::to_string(r.uptime_seconds)).raw(",\"role\":").text(r.role);
        json_.raw(",\"wal_enabled\":").raw(r.wal_enabled ? "true" : "false");
        if (!r.discarded.empty()) {
            json_.raw(",\"discarded\":").text(r.discarded);
        }
        json_.raw("}");
    }
    /// Where the lists make it too large they are left out: the rest is what other nodes and monitoring need.
    void operator()(const Boxed<reply::ReplicationStatus>& r) {
        const std::size_t begin = json_.size();
        if (!r->page.limit) {
            try {
                status(*r, true);
                if (json_.size() + success_end.size() <= size_max_) {
                    return;
                }
            } catch (const TooLarge&) {  // NOLINT(bugprone-empty-catch): written again without the lists
            }
            json_.resize(begin);
        }
        status(*r, false);
    }
    void status(const reply::ReplicationStatus& r, bool is_whole) {
        json_.raw("{\"role\":").text(r.role).raw(",\"wal_enabled\":").raw(r.wal_enabled ? "true" : "false");
        json_.raw(",\"wal_current_lsn\":").number(r.wal_current_lsn);
        json_.raw(",\"wal_bytes\":").number(r.wal_bytes);
        for (const Metric& metric : r.replication) {
            // There the LSN is called as in the log, not as in the statistics.
            const std::string_view name = metric.stat;
            const std::string_view stats_lsn = "replication_replayed_lsn";
            json_.raw(",").text(name == stats_lsn ? "replayed_lsn" : name).raw(":");
            std::visit([this](const auto& value) { stat(value); }, metric.value);
        }
        json_.raw(",\"last_snapshot_lsn\":").number(r.last_snapshot_lsn).raw(",\"latest_snapshots\":");
        reply::PageOf page = r.page;
        if (is_whole || r.page.limit) {
            snapshots(r.latest_snapshots, page);
        } else {
            page.limit = 0;
            page.has_more = !r.latest_snapshots.empty();
            json_.raw("[]");
        }
        json_.raw(",\"recovery\":");
        if (is_whole) {
            (*this)(r.recovery);
        } else {
            json_.raw("{\"checkpoint_count\":").number(std::uint64_t{r.recovery.checkpoints.size()});
            json_.raw(",\"checkpoints\":[]}");
        }
        json_.raw(",\"recovery_checkpoint_count\":").number(std::uint64_t{r.recovery.checkpoints.size()});
        json_.raw(",\"replication_state\":").text(r.state).raw(",\"replication_source\":");
        json_.text_or_null(r.source.empty() ? std::nullopt : std::optional(r.source));
        json_.raw(",\"fenced\":").raw(r.fenced ? "true" : "false").raw(",\"alarm\":");
        json_.text_or_null(r.alarm.empty() ? std::nullopt : std::optional(r.alarm));
        json_.raw(",\"followers\":[");
        std::string_view separator;
        for (const FollowerStatistics& follower : r.followers) {
            json_.raw(separator);
            object(follower);
            separator = ",";
        }
        json_.raw("],\"counted_followers\":[");
        separator = "";
        for (const CountedStatistics& one : r.counted) {
            json_.raw(separator).raw("{\"node_id\":").text(node_id_text(one.node_id));
            json_.raw(",\"name\":").text(one.name);
            json_.raw(",\"counts\":").raw(one.is_counted ? "true" : "false");
            json_.raw(",\"connected\":").raw(one.is_there ? "true" : "false").raw("}");
            separator = ",";
        }
        json_.raw("],\"database_id\":");
        json_.text_or_null(r.database_id.is_known() ? std::optional(r.database_id.text()) : std::nullopt);
        json_.raw(",\"node_id\":").text(node_id_text(r.node_id)).raw(",\"discarded\":");
        json_.text_or_null(r.discarded.empty() ? std::nullopt : std::optional(r.discarded));
        page_of(page);
        json_.raw("}");
    }
    void operator()(const reply::StatsList& r) {
        json_.raw("{");
        std::string_view separator;
        for (const Metric& metric : r.metrics) {
            if (metric.stat != nullptr) {
                json_.raw(separator).text(metric.stat).raw(":");
                std::visit([this](const auto& value) { stat(value); }, metric.value);
                separator = ",";
            }
        }
        json_.raw("}");
    }
    void operator()(const reply::MetricsText& r) { json_.text(prometheus_text(r.metrics)); }
    void operator()(const reply::Events& r) {
        const EventsText text(r, response_bytes_max_);
        json_.raw("{\"after_lsn\":").number(r.after_lsn).raw(",\"limit\":").number(std::uint64_t{r.limit});
        json_.raw(",\"count\":").number(text.count).raw(",\"events\":[").raw(text.entries);
        json_.raw("],\"next_lsn\":").number(text.next_lsn);
        json_.raw(",\"complete\":").raw(text.complete ? "true" : "false");
        json_.raw(",\"first_lsn\":").number(r.first_lsn);
        json_.raw(",\"last_lsn\":").number(r.last_lsn).raw("}");
        is_one_event_ = text.count == 1;
    }
    void operator()(const reply::LogEntries& r) {
        LogEntriesText text(r, response_bytes_max_);
        is_one_event_ = text.count == 1;
        json_.raw(text.head).raw(",\"entries\":[").raw(text.entries).raw("],\"next_lsn\":");
        json_.number(text.next_lsn).raw("}");
    }
    void operator()(const reply::SnapshotNames& r) {
        list(
            r.files, r.page, "files", [this](const std::string& file) { json_.text(file); },
            [](const std::string& file) { return file; });
    }
    void operator()(const Boxed<reply::SnapshotInfo>& boxed) {
        const reply::SnapshotInfo& r = *boxed;
        reply::PageOf page = r.page;
        json_.raw("{\"dump_count\":").number(r.count).raw(",\"latest_by_tree\":");
        snapshots(r.latest, page);
        json_.raw(",\"idempotency_snapshot\":");
        if (r.idempotency) {
            object(*r.idempotency);
        } else {
            json_.raw("null");
        }
        json_.raw(",\"last_snapshot_lsn\":").number(r.last_snapshot_lsn);
        json_.raw(",\"wal_enabled\":").raw(r.wal_enabled ? "true" : "false");
        json_.raw(",\"wal_bytes\":").number(r.wal_bytes);
        json_.raw(",\"wal_current_lsn\":").number(r.wal_current_lsn);
        json_.raw(",\"dump_retention_per_tree\":").number(std::uint64_t{r.retained});
        page_of(page);
        json_.raw("}");
    }
    void operator()(const reply::Verified& r) {
        json_.raw(R"({"status":"ok","dump_count":)").number(r.snapshots).raw(",\"trees\":").number(r.series);
        json_.raw(",\"keys\":").number(r.keys).raw(",\"snapshot_metadata_checked\":").number(r.snapshots);
        json_.raw(",\"snapshot_missing_metadata\":0,\"restore_snapshot_lsn\":").number(r.snapshot_lsn);
        json_.raw(",\"wal_entries_checked\":").number(r.events);
        json_.raw(",\"wal_first_lsn\":").number(r.events == 0 ? 0 : r.snapshot_lsn + 1);
        json_.raw(",\"wal_last_lsn\":").number(r.events == 0 ? 0 : r.last_lsn);
        json_.raw(",\"last_lsn\":").number(r.last_lsn).raw(",\"digest\":").text(r.digest).raw("}");
    }
    void operator()(const reply::StreamBegun& r) {
        json_.raw("{\"stream_id\":").text(r.stream_id).raw(",\"mode\":").text(ingest_mode_name(r.mode));
        json_.raw(",\"series\":").text_or_null(r.series).raw(",\"granularity\":").text_or_null(r.granularity);
        json_.raw(",\"status\":").raw(r.already_committed ? "\"already_committed\"" : "\"active\"");
        json_.raw(",\"last_chunk_seq\":").number(r.last_chunk_seq).raw("}");
    }
    void operator()(const reply::ChunkApplied& r) {
        json_.raw("{\"stream_id\":").text(r.stream_id).raw(",\"chunk_seq\":").number(r.chunk_seq);
        json_.raw(",\"skipped\":false,\"applied\":").number(r.applied);
        json_.raw(",\"total\":").number(r.total).raw("}");
    }
    void operator()(const reply::ChunkSkipped& r) {
        json_.raw("{\"stream_id\":").text(r.stream_id).raw(",\"chunk_seq\":").number(r.chunk_seq);
        json_.raw(",\"skipped\":true,\"committed\":").raw(r.committed ? "true" : "false");
        json_.raw(",\"applied\":0,\"total\":0}");
    }
    void operator()(const reply::StreamEnded& r) {
        json_.raw("{\"stream_id\":").text(r.stream_id);
        json_.raw(",\"status\":").raw(r.committed ? "\"committed\"" : "\"aborted\"");
        json_.raw(",\"last_chunk_seq\":").number(r.last_chunk_seq).raw("}");
    }
    void operator()(const reply::Pruned& r) { json_.raw("{\"deleted\":").number(r.deleted).raw("}"); }
    void operator()(const reply::FileBytes& r) {
        const std::uint64_t count = r.limit == 0 ? r.total : std::min(r.limit, r.total - r.offset);
        json_.raw("{\"metadata\":");
        std::visit([&](const auto& about) { object(about); }, r.about);
        if (r.limit != 0) {
            const std::uint64_t next = r.offset + count;
            json_.raw(",\"offset\":").number(r.offset).raw(",\"limit\":").number(r.limit);
            json_.raw(",\"bytes\":").number(count).raw(",\"total_bytes\":").number(r.total);
            json_.raw(",\"next_offset\":").number(next);
            json_.raw(",\"done\":").raw(next == r.total ? "true" : "false");
        }
        json_.raw(",\"data_base64\":\"");
        if (count > size_max_ || json_.size() + base64_size(count) > size_max_) {
            throw TooLarge{};  // before any of it is read
        }
        constexpr std::uint64_t piece = 3 * 65'536;
        std::string bytes;
        for (std::uint64_t at = 0; at < count; at += piece) {
            deadline_.check();
            bytes.clear();
            r.source->read(r.offset + at, std::min(piece, count - at), bytes);
            json_.base64(bytes);
        }
        json_.raw("\"}");
    }
    void operator()(const Boxed<reply::ExportBegun>& r) {
        json_.raw("{\"export_id\":").text(r->id).raw(",\"lsn\":").number(r->lsn);
        json_.raw(",\"timestamp\":").number(r->timestamp).raw(",\"series\":").number(r->series);
        json_.raw(",\"contents\":{\"file\":").text(r->contents);
        json_.raw(",\"bytes\":").number(r->contents_bytes);
        json_.raw("},\"chunk_bytes_max\":").number(chunk_bytes_max()).raw("}");
    }
    void operator()(const reply::Promoted& r) {
        json_.raw(R"({"role":"master","epoch":)").number(r.epoch.number);
        json_.raw(",\"lsn\":").number(r.epoch.first_lsn).raw(",\"without_promise\":[");
        std::string_view separator;
        for (const std::string& name : r.without_promise) {
            json_.raw(separator).text(name);
            separator = ",";
        }
        json_.raw("]}");
    }
    void operator()(const reply::PromiseAnswer& r) {
        json_.raw("{\"promised\":").raw(r.is_given ? "true" : "false").raw(",\"reason\":").text(r.why_not);
        json_.raw(",\"epoch\":").number(r.known_epoch.number);
        json_.raw(",\"epoch_id\":").number(r.known_epoch.id);
        json_.raw(",\"last_epoch\":").number(r.last_epoch.number);
        json_.raw(",\"last_epoch_id\":").number(r.last_epoch.id).raw(",\"lsn\":").number(r.lsn);
        json_.raw(",\"node_id\":").text(node_id_text(r.node_id)).raw("}");
    }
    void operator()(const reply::FollowerForgotten& r) {
        json_.raw("{\"forgotten\":").text(node_id_text(r.node_id)).raw(",\"name\":").text(r.name).raw("}");
    }
    void operator()(const reply::FenceAnswer& r) {
        json_.raw("{\"role\":").text(r.role).raw(",\"epoch\":").number(r.epoch.number);
        json_.raw(",\"epoch_id\":").number(r.epoch.id).raw("}");
    }
    void operator()(const reply::HistoryPosition& r) {
        json_.raw("{\"lsn\":").number(r.lsn).raw(",\"checksum\":");
        number_or_null(r.checksum);
        json_.raw(",\"first_lsn\":").number(r.first_kept_lsn).raw(",\"last_lsn\":").number(r.last_lsn);
        json_.raw(",\"epochs\":[");
        std::string_view separator;
        for (const Epoch& epoch : r.epochs) {
            json_.raw(separator).raw("{\"epoch\":").number(epoch.number);
            json_.raw(",\"first_lsn\":").number(epoch.first_lsn).raw("}");
            separator = ",";
        }
        json_.raw("]}");
    }
    void operator()(const reply::DigestsCompared& r) {
        json_.raw(R"({"status":"equal","lsn":)").number(r.lsn).raw(",\"digest\":").text(r.digest);
        json_.raw(",\"with\":[");
        std::string_view separator;
        for (const std::string& name : r.with) {
            json_.raw(separator).text(name);
            separator = ",";
        }
        json_.raw("]}");
    }
    void operator()(const reply::SeriesLoaded& r) { json_.text("Tree \"" + r.series + "\" loaded"); }
    void operator()(const reply::SnapshotSaved& r) { json_.text("Tree \"" + r.series + "\" saved"); }

    /// It may be larger than other replies: who reads the log must get past every event, which is bounded by
    /// the request that made it.
    bool is_one_event() const noexcept { return is_one_event_; }

private:
    /// The largest part of an export's file that a reply has room for.
    std::uint64_t chunk_bytes_max() const {
        constexpr std::uint64_t around = 1024;  // what a reply has beside the part, at most
        if (response_bytes_max_ == 0) {
            return fetched_bytes_max;
        }
        const std::uint64_t room = response_bytes_max_ > around ? response_bytes_max_ - around : 0;
        return std::clamp<std::uint64_t>(room / 4 * 3, 1, fetched_bytes_max);
    }

    /// A list as an array, or as an object with its page where one was asked for.
    template <typename Item, typename Write, typename CursorOf>
    void list(const std::vector<Item>& items, const reply::PageOf& asked, std::string_view name,
              Write&& write, CursorOf&& cursor_of) {
        reply::PageOf page = asked;
        if (page.limit) {
            json_.raw("{\"").raw(name).raw("\":");
        }
        array(items, page, write, cursor_of);
        if (page.limit) {
            page_of(page);
            json_.raw("}");
        }
    }

    /// The items of a page as far as they have room, at least one of them. What is asked for as a whole is
    /// too large where it has none.
    template <typename Item, typename Write, typename CursorOf>
    void array(const std::vector<Item>& items, reply::PageOf& page, Write&& write, CursorOf&& cursor_of) {
        json_.raw("[");
        std::size_t count = 0;
        for (const Item& item : items) {
            const std::size_t before = json_.size();
            json_.raw(count == 0 ? "" : ",");
            write(item);
            if (page.limit && count != 0 && json_.size() + tail_bytes > size_max_) {
                json_.resize(before);
                page.has_more = true;
                break;
            }
            ++count;
            check_size();
        }
        json_.raw("]");
        if (count != 0) {
            next_cursor_ = cursor_of(items[count - 1]);
        }
    }

    /// Behind a list that a page was asked of.
    void page_of(const reply::PageOf& page) {
        if (!page.limit) {
            return;
        }
        json_.raw(",\"limit\":").number(std::uint64_t{*page.limit}).raw(",\"cursor\":");
        json_.text_or_null(page.cursor.empty() ? std::nullopt : std::optional(page.cursor));
        json_.raw(",\"next_cursor\":");
        json_.text_or_null(page.has_more ? std::optional(next_cursor_.value_or(page.cursor)) : std::nullopt);
    }

    void snapshots(const std::vector<reply::SnapshotOf>& all, reply::PageOf& page) {
        array(
            all, page, [this](const reply::SnapshotOf& snapshot) { object(snapshot); },
            [](const reply::SnapshotOf& snapshot) { return snapshot.file; });
    }

    void object(const FollowerStatistics& follower) {
        json_.raw("{\"name\":").text(follower.name).raw(",\"address\":").text(follower.address);
        json_.raw(",\"state\":").text(follower.state).raw(",\"acked_lsn\":").number(follower.acked_lsn);
        json_.raw(",\"lag_entries\":").number(follower.lag_entries).raw(",\"lag_seconds\":");
        json_.raw(std::to_string(follower.lag_seconds));
        json_.raw(",\"bytes_sent\":").number(follower.bytes_sent);
        json_.raw(",\"connected_unix\":").number(follower.connected_unix).raw("}");
    }

    void object(const reply::SnapshotOf& snapshot) {
        json_.raw("{\"tree\":").text(snapshot.series).raw(",\"file\":").text(snapshot.file);
        json_.raw(",\"timestamp\":").number(snapshot.timestamp).raw(",\"bytes\":").number(snapshot.bytes);
        json_.raw(",\"last_lsn\":").number(snapshot.last_lsn);
        json_.raw(",\"metadata_file\":").text(snapshot.file + ".meta.json").raw("}");
    }

    void object(const reply::IdempotencySnapshot& snapshot) {
        json_.raw(R"({"file":"karma.idempotency.json","timestamp":)").number(snapshot.timestamp);
        json_.raw(",\"bytes\":");
        number_or_null(snapshot.bytes);
        json_.raw(",\"last_lsn\":").number(snapshot.last_lsn);
        json_.raw(",\"record_count\":").number(snapshot.records);
        json_.raw(",\"committed_stream_count\":").number(snapshot.committed_streams).raw("}");
    }

    void object(const reply::ExportFile& file) { json_.raw("{\"file\":").text(file.name).raw("}"); }

    void stat(std::nullptr_t) { json_.raw("null"); }
    void stat(bool value) { json_.raw(value ? "true" : "false"); }
    void stat(std::uint64_t value) { json_.number(value); }
    void stat(double value) { json_.raw(std::to_string(value)); }
    void stat(const std::string& value) { json_.text(value); }

    void number_or_null(const std::optional<std::uint64_t>& number) {
        if (number) {
            json_.number(*number);
        } else {
            json_.raw("null");
        }
    }

    template <typename ForEach>
    void points(ForEach&& for_each) {
        json_.raw("{");
        std::string_view separator = "\"";
        for_each([&](const Point& point) {
            json_.raw(separator).day(point.day).raw("\":").number(point.value);
            separator = ",\"";
        });
        json_.raw("}");
    }

    void check_size() const {
        if (json_.size() > size_max_) {
            throw TooLarge{};
        }
    }

    Json json_;
    std::size_t size_max_;
    const Deadline& deadline_;
    std::size_t response_bytes_max_;
    unsigned written_ = 0;
    bool is_one_event_ = false;
    std::optional<std::string> next_cursor_;  // the last item of the list

    /// What a reply may have behind a page: names of series and files are long at most.
    static constexpr std::size_t tail_bytes = 4096;
};

}  // namespace

namespace {

/// What can be asked for instead of a reply that is too large.
const char* what_helps(const Reply& reply) noexcept {
    if (std::holds_alternative<reply::SeriesNames>(reply) ||
        std::holds_alternative<reply::SnapshotNames>(reply)) {
        return ": ask for it in pages, with the fields limit and cursor";
    }
    if (std::holds_alternative<Boxed<reply::SnapshotInfo>>(reply)) {
        return ": ask for it in pages, with the fields limit and cursor; limit 0 leaves the list out";
    }
    if (std::holds_alternative<reply::Checkpoints>(reply)) {
        return ": ask for one checkpoint, with the field source";
    }
    return "";
}

}  // namespace

void append_error_line(std::string_view begin, std::string_view message, std::string_view code,
                       std::string& out) {
    // Messages quote files, and what the system says of them.
    Json(out).raw(begin);
    if (is_utf8(message)) {
        Json(out).text(message);
    } else {
        Json(out).text(as_utf8(message));
    }
    Json(out).raw(",\"error_code\":\"").raw(code).raw("\"}\r\n");
}

void ReplyWriter::write_error(const Error& error, std::string& out) {
    append_error_line(R"({"protocol_version":2,"success":false,"response":)", error.message,
                      error_code_name(error.code), out);
}

std::optional<ErrorCode> ReplyWriter::write(const Reply& reply, Deduplication deduplication,
                                            const Deadline& deadline, std::string& out) const {
    return write_framed(reply, {success_begin, end_of(deduplication), &write_error}, deadline, out);
}

std::optional<ErrorCode> ReplyWriter::write_framed(const Reply& reply, const Frame& frame,
                                                   const Deadline& deadline, std::string& out) const {
    if (const auto* const error = std::get_if<Error>(&reply)) {
        frame.write_error(*error, out);
        return error->code;
    }
    const std::size_t begin = out.size();
    const std::size_t line_max = response_bytes_max_ == 0 ? out.max_size() - begin : response_bytes_max_ + 2;
    bool fits = true;
    try {
        out.append(frame.begin);
        ResponseWriter writer(out, begin + line_max, deadline, response_bytes_max_);
        std::visit(writer, reply);
        out.append(frame.end);
        fits = out.size() - begin <= line_max || writer.is_one_event();
    } catch (const TooLarge&) {
        fits = false;
    } catch (const RequestError& refused) {
        out.resize(begin);
        frame.write_error({refused.code(), refused.what()}, out);
        return refused.code();
    } catch (const std::exception& failure) {  // no memory for it, or what it shows cannot be read
        out.resize(begin);
        frame.write_error(
            {ErrorCode::internal_error, std::string("The reply could not be made: ") + failure.what()}, out);
        return ErrorCode::internal_error;
    }
    if (fits) {
        return std::nullopt;
    }
    out.resize(begin);
    frame.write_error(
        {ErrorCode::response_too_large, "Response exceeds " + std::to_string(response_bytes_max_) + " bytes" +
                                            (frame.has_pages ? what_helps(reply) : "")},
        out);
    return ErrorCode::response_too_large;
}

}  // namespace karma::net
