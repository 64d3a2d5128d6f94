#include "persist/statistics.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <type_traits>
#include <unistd.h>

namespace karma {
namespace {

std::uint64_t get(const Stats::Count& count) noexcept { return Stats::get(count); }

double ms(std::uint64_t ns) noexcept { return static_cast<double>(ns) / 1e6; }

double average_ms(std::uint64_t ns, std::uint64_t count) noexcept {
    return count == 0 ? 0.0 : ms(ns) / static_cast<double>(count);
}

/// Resident memory of this process, as the system counts it.
std::uint64_t resident_bytes() {
    std::ifstream statm("/proc/self/statm");
    std::uint64_t total_pages = 0;
    std::uint64_t resident_pages = 0;
    statm >> total_pages >> resident_pages;
    return resident_pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

/// Collects metrics in the order in which they are shown.
class MetricList {
public:
    void gauge(const char* stat, const char* metric, const char* help, Metric::Value value) {
        metrics_.push_back({stat, metric, Metric::Kind::gauge, help, std::move(value), nullptr, {}});
    }
    void counter(const char* stat, const char* metric, const char* help, std::uint64_t value) {
        metrics_.push_back({stat, metric, Metric::Kind::counter, help, value, nullptr, {}});
    }
    void role(const std::string& role) {
        metrics_.push_back(
            {"role", "karma_role", Metric::Kind::gauge, "The role of the daemon.", role, "role", role});
    }
    /// What cannot be known is null in replies, where a number would be believed; metrics are numbers.
    void lag(const char* stat, const char* metric, const char* help, bool is_known, Metric::Value value) {
        gauge(stat, nullptr, "", is_known ? value : Metric::Value(nullptr));
        gauge(nullptr, metric, help, std::move(value));
    }
    /// Not among the metrics while there is none.
    void if_any(const char* stat, const char* metric, const char* help, std::optional<double> value) {
        gauge(stat, value ? metric : nullptr, help, value ? Metric::Value(*value) : Metric::Value(nullptr));
    }
    /// One for each follower.
    template <typename Value>
    void of_followers(const char* metric, const char* help, const std::vector<FollowerStatistics>& followers,
                      Value FollowerStatistics::*value) {
        for (const FollowerStatistics& follower : followers) {
            metrics_.push_back(
                {nullptr, metric, Metric::Kind::gauge, help, follower.*value, "follower", follower.name});
        }
    }
    std::vector<Metric> take() { return std::move(metrics_); }

private:
    std::vector<Metric> metrics_;
};

Metric::Value gauge_text(const std::optional<std::string>& text) {
    return text ? Metric::Value(*text) : Metric::Value(nullptr);
}

/// Those of Karma 1.0.
void add_replication_metrics(MetricList& list, const ReplicationStatistics& f) {
    list.gauge("replication_replayed_lsn", "karma_replication_replayed_lsn",
               "LSN of the last event taken from a master.", f.replayed_lsn);
    list.lag("replication_lag_entries", "karma_replication_lag_entries",
             "Events that the master is ahead, or was when it was last heard.", f.is_lag_known,
             f.source_lsn > f.replayed_lsn ? f.source_lsn - f.replayed_lsn : std::uint64_t{0});
    list.counter("replication_entries_applied", "karma_replication_entries_applied_total",
                 "Events applied from a master.", f.entries_applied);
    list.gauge("replication_last_received_unix", "karma_replication_last_received_unix",
               "When the last event came from a master.", f.last_received_unix);
    list.counter("replication_poll_attempt_count", "karma_replication_poll_attempts_total",
                 "Polls of a master, and connections to one that pushes.", f.polls.attempts);
    list.counter("replication_poll_success_count", "karma_replication_poll_success_total",
                 "Those of them that were answered.", f.polls.successes);
    list.counter("replication_poll_error_count", "karma_replication_poll_errors_total",
                 "Those of them that failed.", f.polls.errors);
    list.gauge("replication_last_poll_attempt_unix", "karma_replication_last_poll_attempt_unix",
               "When a master was last polled or connected to.", f.polls.last_attempt_unix);
    list.gauge("replication_last_poll_success_unix", "karma_replication_last_poll_success_unix",
               "When a master last answered that.", f.polls.last_success_unix);
    list.gauge("replication_last_poll_error_unix", "karma_replication_last_poll_error_unix",
               "When that last failed.", f.polls.last_error_unix);
    list.gauge("replication_last_poll_error", nullptr, "", gauge_text(f.polls.last_error));
    list.counter("replication_bootstrap_attempt_count", "karma_replication_bootstrap_attempts_total",
                 "Bootstraps from a master.", f.bootstraps.attempts);
    list.counter("replication_bootstrap_success_count", "karma_replication_bootstrap_success_total",
                 "Bootstraps that succeeded.", f.bootstraps.successes);
    list.counter("replication_bootstrap_error_count", "karma_replication_bootstrap_errors_total",
                 "Bootstraps that failed.", f.bootstraps.errors);
    list.gauge("replication_last_bootstrap_attempt_unix", "karma_replication_last_bootstrap_attempt_unix",
               "When a bootstrap was last begun.", f.bootstraps.last_attempt_unix);
    list.gauge("replication_last_bootstrap_success_unix", "karma_replication_last_bootstrap_success_unix",
               "When a bootstrap last succeeded.", f.bootstraps.last_success_unix);
    list.gauge("replication_last_bootstrap_error_unix", "karma_replication_last_bootstrap_error_unix",
               "When a bootstrap last failed.", f.bootstraps.last_error_unix);
    list.gauge("replication_last_bootstrap_error", nullptr, "", gauge_text(f.bootstraps.last_error));
}

/// Those that it does not have.
void add_further_replication_metrics(MetricList& list, const ReplicationStatistics& f, const Epochs& epochs) {
    list.gauge("replication_epoch", "karma_replication_epoch", "The epoch: promotions of this history.",
               last_epoch(epochs).number);
    list.lag("replication_lag_seconds", "karma_replication_lag_seconds",
             "How long the master has been ahead, as far as it is known.", f.is_lag_known, f.lag_seconds);
    list.if_any("replication_seconds_since_heard", "karma_replication_seconds_since_heard",
                "Since the node that this one follows was last heard.", f.seconds_since_heard);
    list.if_any("replication_seconds_since_master_heard", "karma_replication_seconds_since_master_heard",
                "Since the master was last heard, by this node or by those between.",
                f.seconds_since_master_heard);
    list.gauge("replication_chain", nullptr, "",
               f.chain.empty() ? Metric::Value(nullptr) : Metric::Value(f.chain));
    list.gauge("replication_failover_timeout_ms", nullptr, "", f.failover_timeout_ms);
    list.gauge("replication_min_acks", nullptr, "", std::uint64_t{f.min_acks});
    list.counter("replication_bytes_received", "karma_replication_bytes_received_total",
                 "Bytes taken from a master.", f.bytes_received);
    list.counter("replication_bytes_sent", "karma_replication_bytes_sent_total", "Bytes given to followers.",
                 f.bytes_sent);
    list.gauge("replication_followers", "karma_replication_followers", "Followers that are connected.",
               std::uint64_t{f.followers.size()});
    list.counter("replication_digests_compared", "karma_replication_digests_compared_total",
                 "Comparisons of digests with other nodes.", f.digests_compared);
    list.counter("replication_digests_different", "karma_replication_digests_different_total",
                 "Comparisons in which the states differed.", f.digests_different);
    list.gauge("replication_last_compared_unix", "karma_replication_last_compared_unix",
               "When digests were last compared.", f.last_compared_unix);
    list.gauge("replication_last_compared_lsn", "karma_replication_last_compared_lsn",
               "The LSN at which they were.", f.last_compared_lsn);
    list.of_followers("karma_replication_follower_lag_entries", "Events that a follower is behind.",
                      f.followers, &FollowerStatistics::lag_entries);
    list.of_followers("karma_replication_follower_lag_seconds", "How long it has been behind.", f.followers,
                      &FollowerStatistics::lag_seconds);
    list.of_followers("karma_replication_follower_bytes_sent", "Bytes given to it.", f.followers,
                      &FollowerStatistics::bytes_sent);
}

}  // namespace

std::string role_name(Role role) { return role == Role::slave ? "slave" : "master"; }

std::vector<Metric> replication_metrics(const ReplicationStatistics& statistics, const Epochs& epochs) {
    MetricList list;
    add_replication_metrics(list, statistics);
    add_further_replication_metrics(list, statistics, epochs);
    std::vector<Metric> metrics = list.take();
    std::erase_if(metrics, [](const Metric& metric) { return metric.stat == nullptr; });
    return metrics;
}

std::vector<Metric> collect_metrics(const DatabaseStatistics& f, const Stats& s) {
    MetricList list;
    list.gauge("uptime_seconds", "karma_uptime_seconds", "Seconds since the daemon started.",
               f.uptime_seconds);
    list.gauge("trees", "karma_trees", "Series.", f.series);
    list.gauge("keys", "karma_keys", "Keys of all series.", f.keys);
    list.gauge("dump_count", "karma_dumps", "Snapshots of single series that are kept.", f.snapshots);
    list.role(f.role);
    list.gauge("wal_enabled", nullptr, "", f.wal_enabled);
    list.gauge("wal_bytes", "karma_wal_bytes", "Bytes of the event log.", f.wal_bytes);
    list.gauge("wal_current_lsn", "karma_wal_current_lsn", "LSN of the last event.", f.wal_current_lsn);
    add_replication_metrics(list, f.replication);
    list.gauge("memory_bytes", "karma_memory_bytes", "Resident memory of the process.", resident_bytes());
    list.counter("command_count", "karma_commands_total", "Requests answered.", get(s.commands));
    list.counter("error_count", "karma_errors_total", "Requests refused or failed.", get(s.errors));
    list.counter("query_timeout_count", "karma_query_timeouts_total", "Reads that took longer than allowed.",
                 get(s.query_timeouts));
    list.counter("batch_read_count", "karma_batch_reads_total", "Reads of many keys.", get(s.batch_reads));
    list.counter("batch_read_key_count", "karma_batch_read_keys_total", "Keys read by them.",
                 get(s.batch_read_keys));
    list.counter("batch_write_count", "karma_batch_writes_total", "Writes of many items.",
                 get(s.batch_writes));
    list.counter("batch_write_item_count", "karma_batch_write_items_total", "Items written by them.",
                 get(s.batch_write_items));
    list.counter("retention_count", "karma_retention_operations_total", "Deletions of old buckets.",
                 get(s.retention_operations));
    list.counter("compact_count", "karma_compactions_total", "Compactions.", get(s.compactions));
    list.counter("reconciliation_run_count", "karma_reconciliation_runs_total", "Reconciliations reported.",
                 get(s.reconciliation_runs));
    list.counter("reconciliation_checked_points", "karma_reconciliation_checked_points_total",
                 "Points compared by them.", get(s.reconciliation_checked_points));
    list.counter("reconciliation_mismatch_count", "karma_reconciliation_mismatches_total",
                 "Points that differed.", get(s.reconciliation_mismatches));
    list.counter("reconciliation_absolute_drift", "karma_reconciliation_absolute_drift_total",
                 "Sum of the differences.", get(s.reconciliation_absolute_drift));
    list.gauge("reconciliation_last_run_unix", "karma_reconciliation_last_run_unix",
               "When a reconciliation was last reported.", get(s.reconciliation_last_run_unix));
    list.gauge("reconciliation_last_checked_points", "karma_reconciliation_last_checked_points",
               "Points compared by the last one.", get(s.reconciliation_last_checked_points));
    list.gauge("reconciliation_last_mismatch_count", "karma_reconciliation_last_mismatches",
               "Points that differed in the last one.", get(s.reconciliation_last_mismatches));
    list.gauge("reconciliation_last_absolute_drift", "karma_reconciliation_last_absolute_drift",
               "Sum of the differences of the last one.", get(s.reconciliation_last_absolute_drift));
    list.gauge("reconciliation_last_max_abs_delta", "karma_reconciliation_last_max_abs_delta",
               "Largest difference of the last one.", get(s.reconciliation_last_max_abs_delta));
    list.gauge("recovery_checkpoint_count", "karma_recovery_checkpoints",
               "Sources with a recovery checkpoint.", f.checkpoints);
    list.gauge("recovery_last_checkpoint_unix", "karma_recovery_last_checkpoint_unix",
               "When a checkpoint was last saved.", f.last_checkpoint_unix);
    list.gauge("latency_ms_last", "karma_command_latency_ms", "Time spent on the last command.",
               ms(get(s.last_command_ns)));
    list.gauge("latency_ms_avg", "karma_command_latency_ms_average", "Time spent on a command, on average.",
               average_ms(get(s.busy_ns), get(s.commands)));
    list.gauge("ingest_active_streams", "karma_ingest_active_streams", "Open ingest streams.",
               f.open_streams);
    list.counter("ingest_chunks_applied", "karma_ingest_chunks_applied_total", "Ingest chunks applied.",
                 get(s.ingest_chunks_applied));
    list.counter("ingest_chunks_skipped", "karma_ingest_chunks_skipped_total",
                 "Ingest chunks that were repeats.", get(s.ingest_chunks_skipped));
    list.counter("ingest_chunks_rejected", "karma_ingest_chunks_rejected_total", "Ingest chunks refused.",
                 get(s.ingest_chunks_rejected));
    list.counter("ingest_items_applied", "karma_ingest_items_applied_total", "Items of the chunks applied.",
                 get(s.ingest_items_applied));
    list.gauge("ingest_latency_ms_last", "karma_ingest_chunk_latency_ms",
               "Time spent on the last ingest chunk.", ms(get(s.ingest_last_chunk_ns)));
    list.gauge("ingest_latency_ms_avg", "karma_ingest_chunk_latency_ms_average",
               "Time spent on an ingest chunk, on average.",
               average_ms(get(s.ingest_ns), get(s.ingest_chunks_applied)));
    list.gauge("idempotency_record_count", "karma_idempotency_records", "Idempotency records.",
               f.idempotency_records);
    list.counter("idempotency_hits", "karma_idempotency_hits_total", "Requests that were repeats.",
                 get(s.idempotency_hits));
    list.counter("idempotency_conflicts", "karma_idempotency_conflicts_total",
                 "Idempotency keys used for different requests.", get(s.idempotency_conflicts));
    list.counter("idempotency_pruned", "karma_idempotency_pruned_total", "Idempotency records removed.",
                 f.idempotency_forgotten);
    list.counter("idempotency_write_count", "karma_idempotency_writes_total", "Idempotency records written.",
                 get(s.idempotency_writes));
    list.gauge("idempotency_write_latency_ms_last", "karma_idempotency_write_latency_ms",
               "Time that the last commit of idempotency records took.",
               ms(get(s.idempotency_last_write_ns)));
    list.gauge("idempotency_write_latency_ms_avg", "karma_idempotency_write_latency_ms_average",
               "Time that a record took to be committed, on average.",
               average_ms(get(s.idempotency_write_ns), get(s.idempotency_writes)));
    list.gauge("idempotency_committed_stream_count", "karma_idempotency_committed_streams",
               "Committed ingest streams that are remembered.", f.committed_streams);
    add_further_replication_metrics(list, f.replication, f.epochs);
    list.gauge("replication_alarm", "karma_replication_alarm",
               "1 where a person has to look at replication: system.health says why.",
               std::uint64_t{f.has_alarm ? 1U : 0U});
    list.counter("clock_step_count", "karma_clock_steps_total",
                 "Steps of the machine's clock by more than two seconds.", f.clock_steps);
    list.counter("refused_login_count", "karma_refused_logins_total",
                 "Requests without a token that is known.", get(s.refused_logins));
    list.counter("failed_handshake_count", "karma_failed_handshakes_total",
                 "Connections over TLS that failed before both ends had agreed on keys.",
                 get(s.failed_handshakes));
    list.counter("log_lines_dropped", "karma_log_lines_dropped_total",
                 "Log lines that were dropped because nobody read them.", f.log_lines_dropped);
    list.gauge("data_directory_lost", "karma_data_directory_lost",
               "1 where the database's directory was removed or replaced: nothing is acknowledged any more.",
               std::uint64_t{f.is_directory_lost ? 1U : 0U});
    return list.take();
}

namespace {

void count_batch_read(std::size_t keys, Stats& stats) noexcept {
    Stats::add(stats.batch_reads, 1);
    Stats::add(stats.batch_read_keys, keys);
}

/// Counts a mutation that was accepted.
void count_mutation(const Mutation& mutation, Stats& stats) noexcept {
    const auto batch_write = [&](std::size_t items) {
        Stats::add(stats.batch_writes, 1);
        Stats::add(stats.batch_write_items, items);
    };
    std::visit(
        [&](const auto& m) {
            using Body = std::decay_t<decltype(m)>;
            if constexpr (std::is_same_v<Body, mutation::AddChunk>) {
                // counted by count_chunk
            } else if constexpr (requires { m.items; }) {
                batch_write(m.items.size());
            } else if constexpr (requires { m.keys; }) {
                batch_write(m.keys.size());
            } else if constexpr (std::is_same_v<Body, mutation::DeleteBefore>) {
                Stats::add(stats.retention_operations, 1);
            } else if constexpr (std::is_same_v<Body, mutation::CompactSeries> ||
                                 std::is_same_v<Body, mutation::CompactAll>) {
                Stats::add(stats.compactions, 1);
            }
        },
        mutation);
}

void count_chunk(const mutation::AddChunk& chunk, const Reply* reply, Stats& stats) noexcept {
    if (reply == nullptr || std::holds_alternative<Error>(*reply)) {
        Stats::add(stats.ingest_chunks_rejected, 1);
    } else if (std::holds_alternative<reply::ChunkSkipped>(*reply)) {
        Stats::add(stats.ingest_chunks_skipped, 1);
    } else {
        Stats::add(stats.ingest_chunks_applied, 1);
        Stats::add(stats.ingest_items_applied, chunk.items.size());
    }
}

}  // namespace

void count_outcome(const Request& request, const Outcome& outcome, Stats& stats) noexcept {
    const Reply* const reply = std::get_if<Reply>(&outcome.result);
    const Error* const refused = reply == nullptr ? nullptr : std::get_if<Error>(reply);
    if (const auto* const mutation = std::get_if<Mutation>(&request)) {
        if (const auto* const chunk = std::get_if<mutation::AddChunk>(mutation)) {
            count_chunk(*chunk, reply, stats);
        } else if (refused == nullptr) {
            count_mutation(*mutation, stats);
        }
    } else if (const auto* const keyed = std::get_if<KeyedMutation>(&request)) {
        if (outcome.deduplication == Deduplication::repeat) {
            Stats::add(stats.idempotency_hits, 1);
        } else if (refused == nullptr) {
            count_mutation(*keyed->body, stats);
        } else if (refused->code == ErrorCode::idempotency_conflict) {
            Stats::add(stats.idempotency_conflicts, 1);
        }
    } else if (refused == nullptr) {
        if (const auto* const sums = std::get_if<query::BatchSum>(&request)) {
            count_batch_read(sums->keys.size(), stats);
        } else if (const auto* const named = std::get_if<query::MultiSum>(&request)) {
            count_batch_read(named->items.size(), stats);
        }
    }
}

namespace {

/// What a client reports may be anything: a sum stops at 2^64-1 instead of beginning again. Under a lock, as
/// all changes of the same count.
void add_capped(Stats::Count& count, std::uint64_t amount) noexcept {
    const std::uint64_t before = Stats::get(count);
    const std::uint64_t room = std::numeric_limits<std::uint64_t>::max() - before;
    Stats::add(count, std::min(amount, room));
}

}  // namespace

void count_reconciliation(const control::ReportReconciliation& report, std::uint64_t now_unix,
                          Stats& stats) noexcept {
    Stats::add(stats.reconciliation_runs, 1);
    add_capped(stats.reconciliation_checked_points, report.checked_points);
    add_capped(stats.reconciliation_mismatches, report.mismatches);
    add_capped(stats.reconciliation_absolute_drift, report.absolute_drift);
    stats.reconciliation_last_run_unix = now_unix;
    stats.reconciliation_last_checked_points = report.checked_points;
    stats.reconciliation_last_mismatches = report.mismatches;
    stats.reconciliation_last_absolute_drift = report.absolute_drift;
    stats.reconciliation_last_max_abs_delta = report.max_abs_delta;
}

}  // namespace karma
