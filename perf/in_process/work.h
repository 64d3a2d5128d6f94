#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "perf/measure/histogram.h"

namespace karma::perf {

enum class WalMode : std::uint8_t { none, unsynced, synced };

std::string wal_mode_name(WalMode mode);

enum class Work : std::uint8_t { increment, increment_with_key, sum, batch_add, batch_sum };

// One line of the table.
struct Case {
    Work work = Work::increment;
    WalMode wal = WalMode::none;
    std::uint32_t per_commit = 1;  // requests that are executed, then committed together

    bool is_batch() const { return work == Work::batch_add || work == Work::batch_sum; }
    bool is_write() const { return work != Work::sum && work != Work::batch_sum; }
    // As in "increment/synced/16".
    std::string name() const;
};

// All that there are for these modes and sizes. What only reads waits for no log, and comes once for each
// size.
std::vector<Case> make_cases(const std::vector<WalMode>& modes, const std::vector<std::uint32_t>& per_commit);

struct Size {
    std::uint32_t keys = 100'000;  // all of them there before
    std::uint32_t items = 1'000;   // of one batch
    double seconds = 1;
    double warmup_seconds = 0.2;
};

struct Figures {
    std::uint64_t requests = 0;
    std::uint64_t items = 0;
    double seconds = 0;    // executing and committing, without the making of requests
    Histogram latency_ns;  // of a commit with its requests
};

// Executes and commits on a fresh database in this directory until the time is over or `stop` is set. Throws
// std::runtime_error when a request is refused.
Figures measure(const Case& one, const Size& size, const std::filesystem::path& directory,
                const std::atomic<bool>& stop);

}  // namespace karma::perf
