#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "engine/storage.h"
#include "persist/database/background.h"
#include "persist/database/failures.h"
#include "persist/database/live_state.h"
#include "persist/database/log_history.h"
#include "persist/database/snapshot_taker.h"
#include "persist/snapshot_store.h"

namespace karma {

/// Drops what need not be kept any longer, as the options say: events, snapshots, idempotency records.
/// Thread-safe.
class Retention {
public:
    /// Everything outlives this.
    Retention(const DatabaseOptions& options, LiveState& live, NodeRole& node, Storage& storage,
              SnapshotStore& snapshots, LogHistory& history, SnapshotTaker& taker, Background& background);

    /// Drops events and snapshots, but for snapshots that are being read.
    void apply();
    /// Forgets idempotency records that are too old or too many, and erases forgotten ones from storage now
    /// and then. Throws StorageError.
    void forget_records();

    /// While what it gives lives, no stored rows of idempotency records are erased. Taken before the view of
    /// the state that is to be sent.
    std::shared_ptr<const void> keep_records() const { return records_kept_; }
    /// Another state has taken the place of this one. With LogHistory::lock_dropping.
    void forget_erased() noexcept { erased_.reset(); }

private:
    /// Idempotency records that were forgotten: all below an LSN, and how many since the start.
    struct Forgotten {
        Lsn first_record_lsn = 0;
        std::uint64_t count = 0;
    };

    std::int64_t ages_now_ms() const;
    Lsn first_retained_lsn() const;
    bool is_worth_erasing(Lsn keep_from) const;
    bool is_worth_erasing(const Forgotten& now, std::uint64_t live) const;

    const DatabaseOptions& options_;
    LiveState& live_;
    NodeRole& node_;
    Storage& storage_;
    SnapshotStore& snapshots_;
    LogHistory& history_;
    SnapshotTaker& taker_;
    Background& background_;
    const std::shared_ptr<const void> records_kept_ = std::make_shared<char>();
    // Under LogHistory::lock_dropping:
    std::optional<Forgotten> erased_;  // what was forgotten when rows were removed last
    std::int64_t erased_ms_ = 0;       // and when that was, by the monotonic clock
};

}  // namespace karma
