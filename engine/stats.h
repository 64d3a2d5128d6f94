#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace karma {

/// Counts of what a process has done since it started. Each number is exact, but they are not read at one
/// moment. Thread-safe.
struct Stats {
    using Count = std::atomic<std::uint64_t>;

    Count commands{0};  // requests answered, refusals included
    Count errors{0};
    Count query_timeouts{0};
    Count busy_ns{0};  // spent on commands in all
    Count last_command_ns{0};
    Count batch_reads{0};
    Count batch_read_keys{0};
    Count batch_writes{0};
    Count batch_write_items{0};
    Count retention_operations{0};
    Count compactions{0};

    Count reconciliation_runs{0};
    Count reconciliation_checked_points{0};
    Count reconciliation_mismatches{0};
    Count reconciliation_absolute_drift{0};
    Count reconciliation_last_run_unix{0};
    Count reconciliation_last_checked_points{0};
    Count reconciliation_last_mismatches{0};
    Count reconciliation_last_absolute_drift{0};
    Count reconciliation_last_max_abs_delta{0};

    Count ingest_chunks_applied{0};
    Count ingest_chunks_skipped{0};
    Count ingest_chunks_rejected{0};
    Count ingest_items_applied{0};
    Count ingest_ns{0};  // spent on the chunks applied
    Count ingest_last_chunk_ns{0};

    Count idempotency_hits{0};
    Count idempotency_conflicts{0};
    Count idempotency_writes{0};
    Count idempotency_write_ns{0};  // until they were committed, in all
    Count idempotency_last_write_ns{0};

    Count refused_logins{0};     // requests without a token that is known
    Count failed_handshakes{0};  // connections over TLS that have not come about

    static void add(Count& count, std::uint64_t amount) noexcept {
        count.fetch_add(amount, std::memory_order_relaxed);
    }
    static std::uint64_t get(const Count& count) noexcept { return count.load(std::memory_order_relaxed); }
};

/// One number of system.stats and system.metrics.
struct Metric {
    enum class Kind : std::uint8_t { gauge, counter };
    using Value = std::variant<std::nullptr_t, bool, std::uint64_t, double, std::string>;

    const char* stat = nullptr;    // its name in system.stats; null where it is not there
    const char* metric = nullptr;  // its name in system.metrics; null where it is not there
    Kind kind = Kind::gauge;
    const char* help = "";
    Value value;
    const char* label = nullptr;  // a label that it has in system.metrics; a text counts as 1 there
    std::string label_value = {};
};

}  // namespace karma
