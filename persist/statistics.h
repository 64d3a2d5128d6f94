#pragma once

#include <cstdint>
#include <vector>

#include "engine/epoch.h"
#include "engine/number.h"
#include "engine/replicated.h"
#include "engine/replication_statistics.h"
#include "engine/reply.h"
#include "engine/request.h"
#include "engine/stats.h"

namespace karma {

/// The state of a database at the time of a request for statistics.
struct DatabaseStatistics {
    double uptime_seconds = 0;
    std::string role;  // as role_name gives it
    bool wal_enabled = true;
    std::uint64_t series = 0;
    std::uint64_t keys = 0;
    std::uint64_t snapshots = 0;  // of single series
    std::uint64_t wal_bytes = 0;
    Lsn wal_current_lsn = 0;
    std::uint64_t checkpoints = 0;
    std::uint64_t last_checkpoint_unix = 0;
    std::uint64_t open_streams = 0;
    std::uint64_t committed_streams = 0;
    std::uint64_t idempotency_records = 0;
    std::uint64_t idempotency_forgotten = 0;  // since the start
    ReplicationStatistics replication;
    Epochs epochs;
    bool has_alarm = false;  // of replication
    std::uint64_t clock_steps = 0;
    std::uint64_t log_lines_dropped = 0;
    bool is_directory_lost = false;
};

/// The role as it is shown; a fenced node is shown as master.
std::string role_name(Role role);

/// Everything that system.stats and system.metrics show, in the order in which they show it.
std::vector<Metric> collect_metrics(const DatabaseStatistics& found, const Stats& stats);

/// The part of them about a master's followers.
std::vector<Metric> replication_metrics(const ReplicationStatistics& statistics, const Epochs& epochs);

/// Counts a request that was executed.
void count_outcome(const Request& request, const Outcome& outcome, Stats& stats) noexcept;

/// Counts what a reconciliation has found, at the time `now_unix`.
void count_reconciliation(const control::ReportReconciliation& report, std::uint64_t now_unix,
                          Stats& stats) noexcept;

}  // namespace karma
