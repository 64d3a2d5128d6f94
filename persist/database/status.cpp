#include "persist/database/status.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "persist/statistics.h"

namespace karma {
namespace {

/// A page that outlives its request.
class OwnPage {
public:
    explicit OwnPage(const query::Page& page) : limit_(page.limit), cursor_(page.cursor) {}

    query::Page get() const noexcept { return {limit_, cursor_}; }
    reply::PageOf of(bool has_more) const { return {limit_, cursor_, has_more}; }

private:
    std::optional<std::size_t> limit_;
    std::string cursor_;
};

/// What is left of a request whose state was copied with the lock: formats it, and lists snapshots.
template <typename Make>
class FormatTask final : public Task {
public:
    FormatTask(std::size_t cost_bytes, Make make) : cost_bytes_(cost_bytes), make_(std::move(make)) {}

    TaskKind kind() const override { return TaskKind::query; }
    std::size_t cost_bytes() const override { return cost_bytes_; }
    Reply run(const Deadline& /*deadline*/) override { return make_(); }

private:
    std::size_t cost_bytes_;
    Make make_;
};

template <typename Make>
Outcome format_later(std::size_t cost_bytes, Lsn wait_lsn, Make make) {
    return {std::unique_ptr<Task>(std::make_unique<FormatTask<Make>>(cost_bytes, std::move(make))), wait_lsn};
}

std::vector<reply::SnapshotOf> describe(const std::vector<SnapshotFile>& files) {
    std::vector<reply::SnapshotOf> all;
    all.reserve(files.size());
    for (const SnapshotFile& file : files) {
        all.push_back(file.describe());
    }
    return all;
}

ReplicationStatistics replication_statistics(const NodeRole& node) {
    const ReplicationControl* const control = node.control();
    return control == nullptr ? ReplicationStatistics() : control->statistics();
}

}  // namespace

double Status::uptime_seconds() const {
    return static_cast<double>(of_.live.clock().steady_ms() - opened_ms_) / 1000.0;
}

/// Of replication.
std::string Status::alarm() const {
    const ReplicationControl* const control = of_.node.control();
    return control == nullptr ? std::string() : control->alarm();
}

reply::Health Status::health() const {
    std::string status = "ok";
    const std::string why_no_snapshot = of_.failures.snapshot_failure();
    if (const std::string why = of_.live.failure(); !why.empty()) {
        status = "failed: " + why;
    } else if (of_.live.has_records() && !of_.live.records_failure().empty()) {
        status = "failed: " + of_.live.records_failure();
    } else if (!why_no_snapshot.empty() && !of_.live.has_log()) {
        status =
            "failed: the last snapshot could not be stored, and without an event log nothing else is; it "
            "is tried again: " +
            why_no_snapshot;
    } else if (of_.node.is_fenced()) {
        status = "fenced: " + of_.mastership.fenced_text() +
                 ": start this node as a follower of that one (--role=slave), or, where that one is gone for "
                 "good or was promoted by mistake, make this one master again (karma promote --force)";
    } else if (const std::string reason = alarm(); !reason.empty()) {
        status = reason;
    } else if (const std::string why_no_file = of_.failures.write_refusal(); !why_no_file.empty()) {
        status = "degraded: " + why_no_file;
    } else if (!why_no_snapshot.empty()) {
        status = "degraded: the last snapshot could not be stored: " + why_no_snapshot;
    }
    return {std::move(status), uptime_seconds(), role_name(of_.node.get()), of_.options.wal,
            replication_statistics(of_.node).discarded};
}

Outcome Status::replication_status(const query::Page& page) const {
    ReplicationStatistics statistics = replication_statistics(of_.node);
    reply::ReplicationStatus status{role_name(of_.node.get()),
                                    of_.options.wal,
                                    of_.live.engine().last_lsn(),
                                    of_.options.wal ? of_.storage.log_bytes() : 0,
                                    replication_metrics(statistics, of_.live.engine().epochs()),
                                    of_.snapshots.last_lsn(),
                                    {},
                                    {of_.live.engine().checkpoints().all()},
                                    last_epoch(of_.live.engine().epochs()).number,
                                    of_.node.is_fenced(),
                                    alarm(),
                                    std::move(statistics.source),
                                    std::move(statistics.state),
                                    std::move(statistics.followers),
                                    std::move(statistics.counted),
                                    of_.mastership.database_id_locked(),
                                    of_.mastership.node_id(),
                                    std::move(statistics.discarded),
                                    {}};
    auto catalog = of_.files.catalog.get();
    const std::size_t cost = catalog->cost_bytes();
    return format_later(
        cost, of_.live.engine().last_lsn(),
        [status = std::move(status), catalog = std::move(catalog), page = OwnPage(page)]() mutable -> Reply {
            bool has_more = false;
            status.latest_snapshots = describe(catalog->latest(page.get(), has_more));
            status.page = page.of(has_more);
            return std::move(status);
        });
}

Outcome Status::snapshot_names(const query::Page& page) const {
    auto catalog = of_.files.catalog.get();
    const std::size_t cost = catalog->cost_bytes();
    return format_later(cost, 0, [catalog = std::move(catalog), page = OwnPage(page)]() -> Reply {
        bool has_more = false;
        reply::SnapshotNames names;
        for (const SnapshotFile& file : catalog->files(page.get(), has_more)) {
            names.files.push_back(file.name());
        }
        names.page = page.of(has_more);
        return names;
    });
}

Outcome Status::snapshot_info(const query::Page& page) const {
    auto catalog = of_.files.catalog.get();
    std::optional<reply::IdempotencySnapshot> records = idempotency_snapshot(catalog->manifests());
    if (records) {
        records->bytes = of_.files.records.size_of(records->last_lsn);  // once somebody has fetched it
    }
    reply::SnapshotInfo info{0,
                             {},
                             records,
                             of_.snapshots.last_lsn(),
                             of_.options.wal,
                             of_.options.wal ? of_.storage.log_bytes() : 0,
                             of_.live.engine().last_lsn(),
                             of_.options.snapshots_retained,
                             {}};
    const std::size_t cost = catalog->cost_bytes();
    return format_later(
        cost, of_.live.engine().last_lsn(),
        [info = std::move(info), catalog = std::move(catalog), page = OwnPage(page)]() mutable -> Reply {
            bool has_more = false;
            info.count = catalog->count();
            info.latest = describe(catalog->latest(page.get(), has_more));
            info.page = page.of(has_more);
            return std::move(info);
        });
}

template <typename ReplyOfMetrics>
Outcome Status::metrics_as() const {
    DatabaseStatistics statistics;
    statistics.uptime_seconds = uptime_seconds();
    statistics.role = role_name(of_.node.get());
    statistics.replication = replication_statistics(of_.node);
    statistics.epochs = of_.live.engine().epochs();
    statistics.has_alarm = of_.node.is_fenced() || !alarm().empty();
    statistics.clock_steps = of_.live.clock().steps();
    statistics.log_lines_dropped = of_.options.log_lines_dropped ? of_.options.log_lines_dropped() : 0;
    statistics.is_directory_lost = of_.failures.is_directory_lost();
    statistics.wal_enabled = of_.options.wal;
    statistics.series = of_.live.engine().series_count();
    statistics.keys = of_.live.engine().key_count();
    statistics.wal_bytes = of_.options.wal ? of_.storage.log_bytes() : 0;
    statistics.wal_current_lsn = of_.live.engine().last_lsn();
    statistics.checkpoints = of_.live.engine().checkpoints().size();
    statistics.last_checkpoint_unix =
        static_cast<std::uint64_t>(of_.live.engine().checkpoints().last_saved_unix());
    statistics.open_streams = of_.live.engine().streams().open_count();
    statistics.committed_streams = of_.live.engine().streams().committed_count();
    statistics.idempotency_records = of_.live.engine().idempotency().size();
    statistics.idempotency_forgotten = of_.live.engine().idempotency().forgotten();
    auto catalog = of_.files.catalog.get();
    const std::size_t cost = catalog->is_gathered() ? 0 : catalog->cost_bytes();
    return format_later(cost, of_.live.engine().last_lsn(),
                        [&stats = of_.live.stats(), statistics = std::move(statistics),
                         catalog = std::move(catalog)]() mutable -> Reply {
                            statistics.snapshots = catalog->count();
                            return ReplyOfMetrics{collect_metrics(statistics, stats)};
                        });
}

Outcome Status::stats() const { return metrics_as<reply::StatsList>(); }

Outcome Status::metrics() const { return metrics_as<reply::MetricsText>(); }

}  // namespace karma
